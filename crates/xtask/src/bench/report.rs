//! Where the numbers go: `docs/numbers.md` between two marks a section, and the plots beside it.

use std::path::Path;

use crate::step;

const PAGE: &str = "docs/numbers.md";

/// Replaces what a section of the page says.
pub fn publish(section: &str, lines: &[String]) -> Result<(), String> {
    lines.iter().for_each(|line| step::say(line));
    let page = std::fs::read_to_string(PAGE).map_err(|error| format!("{PAGE}: {error}; run it where the page is"))?;
    let page = replaced(&page, section, lines)?;
    std::fs::write(PAGE, page).map_err(|error| format!("{PAGE}: {error}"))
}

/// Writes a plot of a section, and says which lines show it: a page has no link to a plot that was never drawn.
pub fn draw(name: &str, about: &str, svg: &str) -> Result<Vec<String>, String> {
    let path = Path::new("docs/numbers").join(format!("{name}.svg"));
    std::fs::create_dir_all("docs/numbers")
        .and_then(|()| std::fs::write(&path, svg))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(vec![String::new(), format!("![{about}](numbers/{name}.svg)")])
}

fn replaced(page: &str, section: &str, lines: &[String]) -> Result<String, String> {
    let (begin, end) = (format!("<!-- bench {section} -->\n"), "<!-- end -->\n");
    let missing = || format!("{PAGE} has no place for `{section}`; add `{}` and `{}`", begin.trim(), end.trim());
    let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{}\n{end}{after}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_the_section_is_replaced() {
        let page = "a\n<!-- bench one -->\nold\n<!-- end -->\nb\n<!-- bench two -->\nkept\n<!-- end -->\n";
        let new = replaced(page, "one", &["x".to_owned(), "y".to_owned()]).expect("it is there");
        assert_eq!(new, page.replace("old", "x\ny"));
        assert!(replaced(page, "three", &[]).is_err());
    }
}
