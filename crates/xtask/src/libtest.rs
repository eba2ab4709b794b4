//! Adds up what the test binaries report, because cargo does not and "exit 0" also means "ran nothing".

/// Totals over all `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    pub filtered_out: u64,
}

impl Tally {
    /// Takes in one line of output; lines of any other kind count for nothing.
    pub fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let Some((_, counts)) = result.split_once(". ") else { return };
        for count in counts.split(';') {
            let Some((number, what)) = count.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "filtered out" => self.filtered_out += number,
                _ => {}
            }
        }
    }

    /// Why these totals are not a success, though every test binary may say so.
    pub fn objection(&self) -> Option<String> {
        if self.failed > 0 {
            Some(format!("{} tests failed; see above", self.failed))
        } else if self.ignored > 0 {
            Some(format!(
                "{} tests were ignored; a skipped test is not a passed test, run or delete them",
                self.ignored
            ))
        } else if self.passed == 0 {
            Some("no test was executed; check the filter".to_owned())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    const GOOD: &str = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.10s";

    #[test]
    fn the_lines_of_several_binaries_add_up() {
        let bad = "test result: FAILED. 1 passed; 2 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        let sum = tally(&["running 12 tests", GOOD, "test a ... ok", bad]);
        assert_eq!(sum, Tally { passed: 13, failed: 2, ignored: 4, filtered_out: 3 });
    }

    #[test]
    fn only_an_executed_unskipped_unfailed_run_is_a_success() {
        assert_eq!(tally(&[GOOD]).objection(), None);
        assert!(tally(&[]).objection().is_some());
        assert!(tally(&["test result: ok. 9 passed; 0 failed; 1 ignored"]).objection().is_some());
        assert!(tally(&["test result: FAILED. 9 passed; 1 failed; 0 ignored"]).objection().is_some());
    }
}
