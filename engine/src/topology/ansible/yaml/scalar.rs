//! Plain scalars in YAML 1.1, after PyYAML's resolver and constructor.

use super::super::value::Value;

/// The value of an unquoted scalar without a tag.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    // Numbers begin with a sign, a digit or a dot: nearly all text is settled here.
    if !text.starts_with(['+', '-', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return Value::str(text);
    }
    int(text)
        .map(Value::Int)
        .or_else(|| float(text).map(Value::Float))
        .unwrap_or_else(|| Value::str(text))
}

fn sign(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn int(text: &str) -> Option<i64> {
    let (sign, body) = sign(text);
    let digits = |body: &str, radix: u32| {
        let kept: String = body.chars().filter(|c| *c != '_').collect();
        i64::from_str_radix(&kept, radix)
            .ok()
            .filter(|_| !kept.starts_with(['+', '-']))
            .map(|number| sign * number)
    };
    let made_of = |body: &str, ok: fn(char) -> bool| !body.is_empty() && body.chars().all(|c| ok(c) || c == '_');
    if let Some(rest) = body.strip_prefix("0b") {
        return made_of(rest, |c| matches!(c, '0' | '1'))
            .then(|| digits(rest, 2))
            .flatten();
    }
    if let Some(rest) = body.strip_prefix("0x") {
        return made_of(rest, |c| c.is_ascii_hexdigit())
            .then(|| digits(rest, 16))
            .flatten();
    }
    if body == "0" {
        return Some(0);
    }
    if let Some(rest) = body.strip_prefix('0') {
        return made_of(rest, |c| matches!(c, '0'..='7'))
            .then(|| digits(rest, 8))
            .flatten();
    }
    if !body.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if body.contains(':') {
        return sexagesimal(body).map(|number| sign * number);
    }
    made_of(body, |c| c.is_ascii_digit())
        .then(|| digits(body, 10))
        .flatten()
}

/// `12:30:45`: base 60, as YAML 1.1 has it.
fn sexagesimal(body: &str) -> Option<i64> {
    let mut total: i64 = 0;
    for (at, part) in body.split(':').enumerate() {
        let number: i64 = part.replace('_', "").parse().ok()?;
        let ok = at == 0 || ((1..=2).contains(&part.len()) && number < 60);
        if !ok || !part.bytes().all(|c| c.is_ascii_digit() || (at == 0 && c == b'_')) {
            return None;
        }
        total = total.checked_mul(60)?.checked_add(number)?;
    }
    Some(total)
}

fn float(text: &str) -> Option<f64> {
    let (sign, body) = sign(text);
    let factor = if sign < 0 { -1.0 } else { 1.0 };
    match body {
        ".inf" | ".Inf" | ".INF" => return Some(factor * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if text == body => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        // YAML 1.1 wants a sign in the exponent: `1e3` is text.
        Some(at) => {
            let exponent = body.get(at + 1..)?;
            let number = exponent.strip_prefix(['+', '-'])?;
            if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
                return None;
            }
            (body.get(..at)?, exponent)
        }
        None => (body, "0"),
    };
    let (whole, part) = mantissa.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let leading = if whole.is_empty() {
        text == body && part.starts_with(|c: char| c.is_ascii_digit())
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit())
    };
    if !leading || !digits(whole) || !digits(part) {
        return None;
    }
    let plain = format!("{whole}.{part}e{exponent}").replace('_', "");
    plain.parse::<f64>().ok().map(|number| factor * number)
}
