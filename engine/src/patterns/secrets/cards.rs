//! Payment card numbers in text, by issuer range, length and check digit (ISO/IEC 7812-1: Luhn).

/// Fewest and most digits of a card number.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// The length in bytes of the card number that starts `text`: digits, with at most one blank or dash between two.
/// The caller sees to it that no letter or digit comes before; what follows is checked here.
pub(super) fn card_number(text: &[u8]) -> Option<usize> {
    let mut digits = [0u8; 19];
    let mut n = 0;
    let mut end = 0;
    let mut i = 0;
    while let Some(&b) = text.get(i) {
        if b.is_ascii_digit() {
            // A twentieth digit: no card number.
            *digits.get_mut(n)? = b - b'0';
            n += 1;
            end = i + 1;
        } else if !(matches!(b, b' ' | b'-') && i == end && text.get(i + 1).is_some_and(u8::is_ascii_digit)) {
            break;
        }
        i += 1;
    }
    let number = digits.get(..n)?;
    let ends = !text.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    (ends && DIGITS.contains(&n) && issued(number) && luhn(number)).then_some(end)
}

/// Whether an issuer hands out numbers with this start and length.
fn issued(number: &[u8]) -> bool {
    let lead = number.iter().take(4).fold(0u32, |acc, d| acc * 10 + u32::from(*d));
    let n = number.len();
    match lead {
        4000..=4999 => matches!(n, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => n == 16,
        3400..=3499 | 3700..=3799 => n == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => matches!(n, 14 | 16),
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&n),
        5000..=5099 | 5600..=5899 | 6300..=6399 | 6700..=6799 => DIGITS.contains(&n),
        _ => false,
    }
}

/// The Luhn check: every second digit from the right doubled, digit sums add up to a multiple of ten.
fn luhn(number: &[u8]) -> bool {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let d = u32::from(*d) << (i % 2);
            if d > 9 { d - 9 } else { d }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_published_for_testing() {
        for n in [
            "4111111111111111",
            "5555555555554444",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "4111-1111-1111-1111",
            "4111 1111 1111 1111",
        ] {
            assert_eq!(card_number(n.as_bytes()), Some(n.len()), "{n}");
            assert_eq!(card_number(format!("{n}, x").as_bytes()), Some(n.len()), "{n}");
        }
    }

    #[test]
    fn other_numbers() {
        for n in [
            "4111111111111112",
            "1767607200000000",
            "41111111111111111111",
            "4111111111111111a",
            "411111",
            "",
            "4111  1111 1111 1111",
        ] {
            assert_eq!(card_number(n.as_bytes()), None, "{n}");
        }
    }
}
