//! Which words without digits are variables: by themselves, by their neighbours, or as part of a line header.

use super::bytes::{DOT, WORD, class};
use super::hosts::is_host;
use super::keys::is_issued_token;
use super::scan::Scanner;
use super::severity::level_word;
use super::units;
use super::words::{self, Cue};

/// A word of hexadecimal letters at least this long is a value.
pub(super) const HEX_WORD: usize = 8;
/// Credentials of well-known issuers are at least this long.
pub(super) const ISSUED_TOKEN: usize = 20;
/// How far the end of a list is looked for.
const MAX_DASHES: usize = 16;

impl Scanner<'_> {
    /// Words that are variables wherever they stand, or where they stand.
    #[inline]
    pub(super) fn is_variable_word(&self, core: &[u8], seen: u8, cue: Cue) -> bool {
        if units::is_bool(core) {
            return true;
        }
        if seen & DOT != 0 && is_host(core) {
            return true;
        }
        match cue {
            Cue::Identity if self.is_name(core) => return true,
            Cue::For if self.is_name_before_address(core) || self.is_account_at_end(core) => return true,
            _ => {}
        }
        match core.first() {
            Some(b'A'..=b'Z') if core.len() >= 3 && core.len() <= 9 && self.is_date_word(core) => true,
            _ if core.len() >= HEX_WORD && core.iter().all(u8::is_ascii_hexdigit) => true,
            _ => core.len() >= ISSUED_TOKEN && is_issued_token(core),
        }
    }

    /// Where the word after this chunk starts: past one blank, if there is one.
    fn next_word(&self) -> &[u8] {
        let rest = self.s.get(self.i..).unwrap_or_default();
        let Some(rest) = rest.strip_prefix(b" ") else {
            return &[];
        };
        let end = rest
            .iter()
            .take(24)
            .position(|b| class(*b) & WORD == 0)
            .unwrap_or(rest.len().min(24));
        rest.get(..end).unwrap_or_default()
    }

    /// `user X`: X is a name if a preposition, a bracket or the end follows.
    fn is_name(&self, core: &[u8]) -> bool {
        if words::is_no_name(core) {
            return false;
        }
        match self.at(self.i) {
            b'\n' | b'[' | b'(' | b',' | b';' | b'\'' | b')' | b']' => true,
            b' ' => {
                let next = self.next_word();
                let after = self.at(self.i + 1);
                words::follows_name(next) || matches!(after, b'[' | b'(') || (next.is_empty() && after == b'\n')
            }
            _ => false,
        }
    }

    /// `for X from <address>`
    fn is_name_before_address(&self, core: &[u8]) -> bool {
        if words::is_no_name(core) || self.next_word() != b"from" {
            return false;
        }
        let address = self.s.get(self.i + 6..).unwrap_or_default();
        address
            .iter()
            .take(40)
            .take_while(|b| class(**b) & WORD != 0)
            .any(u8::is_ascii_digit)
    }

    /// `for root`, where the clause ends with it.
    fn is_account_at_end(&self, core: &[u8]) -> bool {
        words::is_account(core)
            && match self.at(self.i) {
                b'\n' | b',' | b';' | b')' | b']' => true,
                b' ' => matches!(self.at(self.i + 1), b'[' | b'('),
                _ => false,
            }
    }

    /// `status: no link found`: what follows the colon is a sentence, not a value. Another key may follow a value.
    pub(super) fn prose_follows(&self) -> bool {
        let next = self.next_word();
        next.first().is_some_and(u8::is_ascii_alphabetic) && !next.ends_with(b":")
    }

    /// What stands in a list of variables where one is absent: dashes at its end (`[<*> - -]`), asterisks before a
    /// number (`<*> **** 5`).
    pub(super) fn is_absent(&self, chunk: &[u8]) -> bool {
        if !matches!(chunk, b"-" | [b'*', b'*', b'*', ..]) || !self.out.after_mask_and_blank() {
            return false;
        }
        let rest = self.s.get(self.i..).unwrap_or_default();
        if chunk == b"-" {
            let absent = rest.iter().take(MAX_DASHES).take_while(|b| matches!(b, b' ' | b'-'));
            return rest.get(absent.count()) == Some(&b']');
        }
        chunk.iter().all(|b| *b == b'*') && matches!(rest, [b' ', b'0'..=b'9', ..])
    }

    /// Month and day names beside the rest of a date.
    fn is_date_word(&self, core: &[u8]) -> bool {
        if !units::may_be_date_word(core) {
            return false;
        }
        let ahead = self.s.get(self.i..).unwrap_or_default();
        let blanks = ahead.iter().take(3).take_while(|b| matches!(b, b' ' | b',')).count();
        let ahead = ahead.get(blanks..).unwrap_or_default();
        if units::is_month(core) {
            return blanks > 0 && ahead.first().is_some_and(u8::is_ascii_digit)
                || (self.number_last && self.out.after_mask_and_blank());
        }
        if !units::is_week_day(core) || blanks == 0 {
            return false;
        }
        let word = ahead.iter().take(10).take_while(|b| b.is_ascii_alphabetic()).count();
        ahead.first().is_some_and(u8::is_ascii_digit) || units::is_month(ahead.get(..word).unwrap_or_default())
    }

    /// Words of a line header: the level after a time, the host of a syslog line.
    pub(super) fn is_header_word(&self, core: &[u8]) -> bool {
        if !self.out.has_mask() {
            return false;
        }
        if let [b'V' | b'D' | b'I' | b'W' | b'E' | b'F'] = core {
            // `<time> <process> <thread> D tag: text`
            return self.clock && self.out.after_mask_and_blank() && self.at(self.i) == b' ';
        }
        if level_word(core).is_some() && (self.clock || core.iter().all(u8::is_ascii_uppercase)) {
            return true;
        }
        if !self.clock || !self.clock_last || !self.out.after_mask_and_blank() {
            return false;
        }
        // `<time> host program[pid]:`, as syslog writes; without a pid only after a date with a month in letters.
        let rest = self.s.get(self.i..).unwrap_or_default();
        let Some(rest) = rest.strip_prefix(b" ") else {
            return false;
        };
        let end = rest
            .iter()
            .take(48)
            .position(|b| class(*b) & WORD == 0 && !matches!(b, b'(' | b')'));
        let Some(end) = end else { return false };
        match rest.get(end) {
            Some(b'[') => rest.get(end + 1).is_some_and(u8::is_ascii_digit),
            Some(b' ') if self.month => rest.get(..end).is_some_and(|w| w.ends_with(b":")),
            _ => false,
        }
    }
}
