//! Masking by names: labels, attributes, properties.

use super::{HIDDEN, mask_secrets};
use crate::text::without_nul;
use serde_json::Value;
use std::borrow::Cow;

/// The value of a label or an attribute without secrets and NUL bytes: all of it is hidden if the name alone says that
/// it is one.
pub fn mask_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if names_secret(name) {
        return Cow::Borrowed(HIDDEN);
    }
    mask_text(value)
}

/// Takes the secrets and the NUL bytes out of a JSON value, however deep they lie; whether there were any.
///
/// What has the name of a secret is hidden whole, whatever it is: a text, a number, a boolean, a list, an object; only
/// `null` stays. All other texts are masked as by [`mask_secrets`], and names are kept. The recursion is as deep as the
/// value: whoever parses one bounds that.
///
/// ```
/// let mut value = serde_json::json!({"db": [{"url": "pg://u:x@h/", "port": 5}], "pin": 1234, "token": {"id": ["x"]}});
/// assert!(engine::patterns::mask_json(&mut value));
/// assert_eq!(value, serde_json::json!({"db": [{"url": "pg://***@h/", "port": 5}], "pin": "***", "token": "***"}));
/// ```
pub fn mask_json(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match mask_text(text) {
            Cow::Borrowed(_) => false,
            Cow::Owned(masked) => {
                *text = masked;
                true
            }
        },
        Value::Array(items) => items.iter_mut().fold(false, |found, item| mask_json(item) | found),
        Value::Object(members) => {
            let nul = members.keys().any(|name| name.contains('\0'));
            if nul {
                let renamed = |(name, member): (String, Value)| (without_nul(&name).into_owned(), member);
                *members = std::mem::take(members).into_iter().map(renamed).collect();
            }
            members
                .iter_mut()
                .fold(nul, |found, (name, member)| mask_member(name, member) | found)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn mask_member(name: &str, member: &mut Value) -> bool {
    if member.is_null() || !names_secret(name) {
        return mask_json(member);
    }
    let hidden = *member == HIDDEN;
    if !hidden {
        *member = HIDDEN.into();
    }
    !hidden
}

/// Whether what has this name is a secret, judged as in a text: by the last word of the name.
pub(crate) fn names_secret(name: &str) -> bool {
    let probe = format!("{name}=Kq7vXw2pLm9s");
    mask_secrets(&probe) != probe.as_str()
}

fn mask_text(text: &str) -> Cow<'_, str> {
    match without_nul(text) {
        Cow::Borrowed(text) => mask_secrets(text),
        Cow::Owned(text) => Cow::Owned(mask_secrets(&text).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn masked(mut value: Value) -> (Value, bool) {
        let found = mask_json(&mut value);
        (value, found)
    }

    #[test]
    fn under_the_name_of_a_secret_nothing_is_shown() {
        for secret in [
            json!("hunter2"),
            json!(""),
            json!(1234),
            json!(-0.5),
            json!(true),
            json!(["hunter2", 1]),
            json!([]),
            json!({"a": {"b": "hunter2"}}),
            json!({}),
        ] {
            let (shown, found) = masked(json!({"deep": [[{"db_password": secret, "n": 1}]]}));
            assert_eq!(shown, json!({"deep": [[{"db_password": "***", "n": 1}]]}));
            assert!(found, "{secret}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let value = json!({
            "password": null, "token": "***", "max_tokens": 5, "on": true, "list": [1, "text", null], "url": "pg://***@h/",
        });
        assert_eq!(masked(value.clone()), (value, false));
        for plain in [json!(null), json!(1), json!("text"), json!([])] {
            assert_eq!(masked(plain.clone()), (plain, false));
        }
    }

    #[test]
    fn nul_is_replaced_in_names_and_texts() {
        let (shown, found) = masked(json!([{"a\0b": ["c\0d"], "\0password": 1}]));
        assert_eq!(
            shown,
            json!([{"a\u{FFFD}b": ["c\u{FFFD}d"], "\u{FFFD}password": "***"}])
        );
        assert!(found);
        assert!(masked(json!({"a\0": 1})).1);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(a|password=x|pg://u:p@h|\\*\\*\\*|\0){0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(a|token|db.password|b\0)", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn masking_tells_whether_it_changed_something_and_is_done_once(value in any_json()) {
            let (once, found) = masked(value.clone());
            prop_assert_eq!(found, once != value);
            prop_assert_eq!(masked(once.clone()), (once, false));
        }
    }
}
