//! Pieces of a log, put together from the engine's frames.
//!
//! A frame is at most 16 KiB of one line, with the engine's timestamp in front; longer lines come in several frames, and
//! those of the two streams may be mixed. A position is the timestamp, in nanoseconds, of the last line handed out. The
//! engine stamps the streams independently: of two lines written within the same microseconds to different streams, the
//! earlier may be missed by a reader who asks exactly in between.

use std::collections::VecDeque;

use crate::runtime::{LogPiece, LogRange};

/// The engine writes all nine digits: `2026-11-25T08:36:53.211349545Z`, then a space.
const STAMP_BYTES: usize = 30;
/// Longest line that is kept; the rest of it is dropped.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most lines asked for from the end.
const TAIL_MAX: usize = 100_000;
const NANOS: u64 = 1_000_000_000;

/// Collects whole lines until the piece is full.
pub(in crate::runtime) struct Lines {
    range: LogRange,
    /// The unfinished line of each stream.
    unfinished: [Vec<u8>; 2],
    /// When each stream was last written to.
    stamps: [u64; 2],
    whole: VecDeque<(u64, String)>,
    bytes: usize,
    /// The line at the position asked for was seen, so that nothing after it is lost.
    anchored: bool,
    full: bool,
}

impl Lines {
    pub(in crate::runtime) fn new(range: LogRange) -> Self {
        let unfinished = [Vec::new(), Vec::new()];
        let anchored = range.after.is_none_or(|position| position == 0);
        Self { range, unfinished, stamps: [0; 2], whole: VecDeque::new(), bytes: 0, anchored, full: false }
    }

    /// The second from which the engine is asked to read. It knows whole seconds; the rest is left out here.
    pub(in crate::runtime) fn since(&self) -> i32 {
        self.range.after.map_or(0, |position| i32::try_from(position / NANOS).unwrap_or(i32::MAX))
    }

    /// How many lines from the end the engine is asked for.
    pub(in crate::runtime) fn tail(&self) -> String {
        match self.range.after {
            Some(_) => "all".to_owned(),
            None => self.range.tail.min(TAIL_MAX).to_string(),
        }
    }

    /// Whether nothing more fits.
    pub(in crate::runtime) fn is_full(&self) -> bool {
        self.full
    }

    /// Takes a frame of stream 0 or 1.
    pub(in crate::runtime) fn push(&mut self, stream: usize, frame: &[u8]) {
        let Some((stamp, text)) = frame.split_at_checked(STAMP_BYTES) else { return };
        let Some(stamp) = std::str::from_utf8(stamp).ok().and_then(nanoseconds) else { return };
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let Some(unfinished) = self.unfinished.get_mut(stream) else { return };
        if let Some(last) = self.stamps.get_mut(stream) {
            *last = stamp;
        }
        let (part, ends) = text.strip_suffix(b"\n").map_or((text, false), |line| (line, true));
        let room = LINE_BYTES_MAX.saturating_sub(unfinished.len());
        unfinished.extend_from_slice(part.get(..room).unwrap_or(part));
        if !ends {
            return;
        }
        let line = std::mem::take(unfinished);
        self.take(stamp, &line);
    }

    fn take(&mut self, stamp: u64, line: &[u8]) {
        match self.range.after {
            Some(position) if stamp <= position => self.anchored |= stamp == position,
            _ => self.line(stamp, line),
        }
    }

    /// Nobody will finish the last lines any more: what there is of them is all.
    pub(in crate::runtime) fn ended(&mut self) {
        for stream in 0..self.unfinished.len() {
            let line = std::mem::take(&mut self.unfinished[stream]);
            if !line.is_empty() && !self.full {
                self.take(self.stamps[stream], &line);
            }
        }
    }

    fn line(&mut self, stamp: u64, line: &[u8]) {
        let mut text = String::from_utf8_lossy(line).into_owned();
        let mut room = self.range.bytes_max.saturating_sub(1).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        text.truncate(room);
        text.push('\n');
        if self.range.after.is_some() && self.bytes + text.len() > self.range.bytes_max {
            // Lines of one and the same nanosecond share a position: they stay together or the rest would be lost.
            if self.whole.back().is_some_and(|(last, _)| *last != stamp) {
                self.full = true;
                return;
            }
        }
        self.bytes += text.len();
        self.whole.push_back((stamp, text));
        // From the end: the newest lines matter.
        while self.range.after.is_none() && self.bytes > self.range.bytes_max && self.whole.len() > 1 {
            self.bytes -= self.whole.pop_front().map_or(0, |(_, line)| line.len());
        }
    }

    pub(in crate::runtime) fn finish(self) -> LogPiece {
        let newest = self.whole.iter().map(|(stamp, _)| *stamp).max();
        LogPiece {
            text: self.whole.into_iter().map(|(_, line)| line).collect(),
            position: newest.or(self.range.after.filter(|_| self.anchored)).unwrap_or(0),
            reset: !self.anchored,
        }
    }
}

/// Nanoseconds since the Unix epoch of a timestamp in the engine's fixed form, in UTC.
fn nanoseconds(stamp: &str) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = stamp.get(from..to)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None }
    };
    let bytes = stamp.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')];
    if bytes.len() != STAMP_BYTES || marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970-01-01 in the Gregorian calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = (y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day).checked_sub(719_469)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    seconds.checked_mul(NANOS)?.checked_add(number(20, 29)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(nano: u32, text: &str) -> Vec<u8> {
        format!("2026-11-25T08:36:53.{nano:09}Z {text}").into_bytes()
    }

    fn piece(range: LogRange, frames: &[(usize, u32, &str)]) -> LogPiece {
        let mut lines = Lines::new(range);
        for (stream, nano, text) in frames {
            if !lines.is_full() {
                lines.push(*stream, &frame(*nano, text));
            }
        }
        lines.finish()
    }

    #[test]
    fn the_last_words_of_a_program_that_ended_need_no_line_break() {
        let mut lines = Lines::new(from_end(100));
        lines.push(0, &frame(1, "whole\n"));
        lines.push(0, &frame(2, "half"));
        let mut later = Lines::new(LogRange { after: Some(lines.stamps[0]), tail: 0, bytes_max: 100 });
        later.push(0, &frame(2, "half"));
        lines.ended();
        later.ended();
        assert_eq!(lines.finish().text, "whole\nhalf\n");
        assert_eq!(later.finish().text, "");
    }

    const fn from_end(bytes_max: usize) -> LogRange {
        LogRange { after: None, tail: 100, bytes_max }
    }

    fn position(nano: u32) -> u64 {
        nanoseconds(std::str::from_utf8(&frame(nano, "")[..STAMP_BYTES]).unwrap()).unwrap()
    }

    #[test]
    fn timestamps_are_read() {
        assert_eq!(nanoseconds("1970-01-01T00:00:00.000000001Z"), Some(1));
        assert_eq!(nanoseconds("2000-02-29T12:00:00.000000000Z"), Some(951_825_600 * NANOS));
        assert_eq!(nanoseconds("2026-11-25T08:36:53.211349545Z"), Some(1_795_595_813_211_349_545));
        for wrong in
            ["", "2026-11-25T08:36:53.211349545+", "2026-13-25T08:36:53.211349545Z", "+026-11-25T08:36:53.211349545Z"]
        {
            assert_eq!(nanoseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_in_several_frames_of_two_streams_are_put_together() {
        let piece = piece(from_end(1000), &[(0, 1, "a"), (1, 2, "x\n"), (0, 3, "b"), (0, 4, "c\n"), (0, 5, "half")]);
        assert_eq!(piece, LogPiece { text: "x\nabc\n".into(), position: position(4), reset: false });
    }

    #[test]
    fn reading_on_gives_every_line_once() {
        let frames = [(0, 1, "one\n"), (1, 2, "two\n"), (0, 3, "three\n"), (0, 4, "four\n")];
        let mut range = LogRange { after: Some(0), tail: 0, bytes_max: 10 };
        let mut all = String::new();
        loop {
            let piece = piece(range, &frames);
            assert!(!piece.reset && piece.text.len() <= 10);
            if piece.text.is_empty() {
                break;
            }
            all += &piece.text;
            range.after = Some(piece.position);
        }
        assert_eq!(all, "one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn a_position_whose_line_was_rotated_away_is_a_reset() {
        let range = LogRange { after: Some(position(2)), tail: 0, bytes_max: 100 };
        assert!(!piece(range, &[(0, 1, "a\n"), (0, 2, "b\n"), (0, 3, "c\n")]).reset);
        let gone = piece(range, &[(0, 3, "c\n"), (0, 4, "d\n")]);
        assert_eq!(gone, LogPiece { text: "c\nd\n".into(), position: position(4), reset: true });
    }

    #[test]
    fn the_end_of_a_log_is_its_newest_lines_and_long_lines_are_cut() {
        assert_eq!(piece(from_end(4), &[(0, 1, "aa\n"), (0, 2, "b\n"), (0, 3, "c\n")]).text, "b\nc\n");
        assert_eq!(piece(from_end(4), &[(0, 1, "éééé\n")]).text, "é\n");
        let long = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(piece(from_end(usize::MAX), &[(0, 1, &long), (0, 2, "y\n")]).text.len(), LINE_BYTES_MAX + 1);
    }
}
