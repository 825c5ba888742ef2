//! JSON with the order and the repetitions of members, and as Python prints it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value.
#[derive(Debug)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Whole(i128),
    /// What has a fraction or an exponent, and whole numbers beyond 64 bits.
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Whether no object in it has a member twice.
    pub(super) fn is_unique(&self) -> bool {
        match self {
            Self::List(items) => items.iter().all(Self::is_unique),
            Self::Object(members) => members.iter().enumerate().all(|(i, (name, value))| {
                value.is_unique() && members[..i].iter().all(|(earlier, _)| earlier != name)
            }),
            _ => true,
        }
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Python's `str()`; `None` of floats, and of strings in brackets with characters that it may escape or not.
    pub(super) fn str(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            other => other.repr(),
        }
    }

    fn repr(&self) -> Option<String> {
        let join = |items: Vec<String>| items.join(", ");
        Some(match self {
            Self::Null => "None".into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::Whole(number) => number.to_string(),
            Self::Float(_) => return None,
            Self::Text(text) => quoted(text)?,
            Self::List(items) => {
                format!("[{}]", join(items.iter().map(Self::repr).collect::<Option<_>>()?))
            }
            Self::Object(members) => {
                let member =
                    |(name, value): &(String, Self)| Some(format!("{}: {}", quoted(name)?, value.repr()?));
                format!("{{{}}}", join(members.iter().map(member).collect::<Option<_>>()?))
            }
        })
    }
}

fn quoted(text: &str) -> Option<String> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let escaped = text.chars().map(|c| match c {
        '\n' => Some("\\n".into()),
        '\r' => Some("\\r".into()),
        '\t' => Some("\\t".into()),
        '\\' => Some("\\\\".into()),
        c if c == quote => Some(format!("\\{c}")),
        ' '..='~' => Some(c.to_string()),
        '\0'..='\u{a0}' | '\u{ad}' => Some(format!("\\x{:02x}", c as u32)),
        '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{e000}' => Some(format!("\\u{:04x}", c as u32)),
        '\u{ac00}'..='\u{d7a3}' | '\u{a1}'..='\u{ff}' => Some(c.to_string()),
        _ => None,
    });
    let escaped: String = escaped.collect::<Option<Vec<String>>>()?.concat();
    Some(format!("{quote}{escaped}{quote}"))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Whole(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Tree::Object(object))
    }
}
