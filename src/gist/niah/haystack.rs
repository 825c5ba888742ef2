//! The text that passkeys are planted in, and the words around them.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt;
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::error::{Error, ErrorKind};
use crate::ledger::{LedgerError, LedgerReader, Source};

/// The most bytes of a text: it is held in memory.
pub const MAX_TEXT: usize = 1 << 30;

/// Tokens of a ledger read at a time.
const BLOCK: usize = 64 << 10;

/// The language of the sentence with the passkey, the question and the instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// English: `en`. The words are those of the original.
    #[default]
    English,
    /// Korean: `ko`.
    Korean,
}

impl Language {
    /// `en` or `ko`, as samples name it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// The language of a code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::English, Self::Korean].into_iter().find(|language| language.code() == code)
    }

    /// The sentence that is planted, with a space at either end.
    #[must_use]
    pub fn sentence(self, needle: &str) -> String {
        match self {
            Self::English => format!(" The secret passkey is {needle}. "),
            Self::Korean => format!(" 비밀 패스키는 {needle}입니다. "),
        }
    }

    /// The question about it.
    #[must_use]
    pub const fn question(self) -> &'static str {
        match self {
            Self::English => "What is the secret passkey mentioned in the text?",
            Self::Korean => "글에서 언급된 비밀 패스키는 무엇입니까?",
        }
    }

    /// What a training sample tells the model to do.
    #[must_use]
    pub const fn instruction(self) -> &'static str {
        match self {
            Self::English => {
                "Read the following text carefully and compress its key information into the Gist tokens provided. Then \
                 answer the question based solely on the information stored in the Gist tokens."
            }
            Self::Korean => {
                "다음 글을 주의 깊게 읽고 핵심 정보를 주어진 Gist 토큰에 압축하세요. 그런 다음 Gist 토큰에 저장된 정보만을 \
                 바탕으로 질문에 답하세요."
            }
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What the tokens of a ledger are that holds a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextTokens {
    /// The bytes of its UTF-8.
    Utf8,
    /// Its Unicode code points.
    CodePoints,
}

/// A text to plant passkeys in: paragraphs, which are its lines, over and over.
#[derive(Clone, Debug)]
pub struct Haystack {
    text: String,
    /// Where its paragraphs start, in bytes: at least one.
    starts: Vec<usize>,
}

impl Haystack {
    /// A text of five paragraphs that comes with the crate.
    #[must_use]
    pub fn built_in(language: Language) -> Self {
        let text = match language {
            Language::English => include_str!("text_en.txt"),
            Language::Korean => include_str!("text_ko.txt"),
        };
        let text = String::from(trimmed(text));
        let starts = starts(&text);
        Self { text, starts }
    }

    /// A text, or several that follow each other on new lines. White space of ASCII at the end of each is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if there is nothing but white space of ASCII; [`ErrorKind::TooLarge`] above [`MAX_TEXT`];
    /// [`ErrorKind::OutOfMemory`].
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let mut whole = String::new();
        for (i, text) in texts.into_iter().enumerate() {
            let text = trimmed(text.as_ref());
            reserve(&mut whole, text.len().saturating_add(1))?;
            if i > 0 {
                whole.push('\n');
            }
            whole.push_str(text);
        }
        let starts = starts(&whole);
        if starts.is_empty() {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "the text is empty: there is nothing to plant a passkey in",
            }));
        }
        Ok(Self { text: whole, starts })
    }

    /// The text whose tokens a ledger holds.
    ///
    /// # Errors
    /// As [`new`](Self::new) and the reader; [`LedgerError::Refused`] with [`ErrorKind::TextToken`] for a token that is no
    /// byte or no code point, and [`ErrorKind::Utf8`] for bytes that are no UTF-8.
    pub fn from_ledger<S: Source>(reader: &LedgerReader<S>, tokens: TextTokens) -> Result<Self, LedgerError> {
        let total = reader.total_tokens();
        let (mut bytes, mut text) = (Vec::new(), String::new());
        let mut block = std::vec![0; BLOCK];
        let mut position = 0;
        while position < total {
            let len = usize::try_from(total.saturating_sub(position)).unwrap_or(usize::MAX).min(BLOCK);
            let block = block.get_mut(..len).unwrap_or_default();
            reader.recall_into(position, block)?;
            match tokens {
                TextTokens::Utf8 => {
                    check_len(bytes.len(), len).and_then(|()| crate::memory::reserve(&mut bytes, len))
                }
                TextTokens::CodePoints => reserve(&mut text, len.saturating_mul(4)),
            }
            .map_err(LedgerError::Refused)?;
            for (&token, position) in block.iter().zip(position..) {
                let refused = |unit| {
                    LedgerError::Refused(Error::caller(ErrorKind::TextToken { position, token, unit }))
                };
                match tokens {
                    TextTokens::Utf8 => {
                        bytes.push(u8::try_from(token).map_err(|_| refused("byte of UTF-8"))?);
                    }
                    TextTokens::CodePoints => {
                        text.push(char::from_u32(token).ok_or_else(|| refused("Unicode code point"))?);
                    }
                }
            }
            position = position.saturating_add(len as u64);
        }
        if tokens == TextTokens::Utf8 {
            text = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to() as u64;
                LedgerError::Refused(Error::new(ErrorKind::Utf8 { field: "the ledger's text" }, at))
            })?;
        }
        Self::new([text]).map_err(LedgerError::Refused)
    }

    /// The text as it is repeated, each time after a line feed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its paragraphs: lines with something else than white space of ASCII. At least one.
    #[must_use]
    pub fn paragraphs(&self) -> usize {
        self.starts.len()
    }

    /// Puts the first `chars` characters from a paragraph on into `out`, and returns where in its bytes character `at`
    /// stands, or its end.
    pub(super) fn cut(
        &self,
        paragraph: usize,
        chars: u64,
        at: u64,
        out: &mut String,
    ) -> Result<usize, Error> {
        out.clear();
        let start = self.starts.get(paragraph).copied().unwrap_or(0);
        let mut rest = self.text.get(start..).unwrap_or(&self.text);
        let (mut left, mut before) = (chars, at.min(chars));
        let mut place = 0;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let (piece, count) = prefix(rest, most);
            if before > 0 {
                let (head, count) = prefix(piece, usize::try_from(before).unwrap_or(usize::MAX));
                before = before.saturating_sub(count as u64);
                place = out.len().saturating_add(head.len());
            }
            out.try_reserve(piece.len().saturating_add(1)).map_err(|_| out_of_memory(piece.len()))?;
            out.push_str(piece);
            left = left.saturating_sub(count as u64);
            if left > 0 {
                out.push('\n');
                left = left.saturating_sub(1);
                if before > 0 {
                    before = before.saturating_sub(1);
                    place = out.len();
                }
            }
            rest = &self.text;
        }
        Ok(place)
    }
}

/// As many characters from the start as there are, but no more than `most`, and how many that is.
fn prefix(text: &str, most: usize) -> (&str, usize) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (text.get(..end).unwrap_or(text), most),
        None => (text, text.chars().count()),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches(blank)
}

/// What Python's `bytes.isspace` counts.
const fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

fn starts(text: &str) -> Vec<usize> {
    let mut next = 0_usize;
    let mut starts = Vec::new();
    for line in text.split('\n') {
        if !line.chars().all(blank) {
            starts.push(next);
        }
        next = next.saturating_add(line.len()).saturating_add(1);
    }
    starts
}

fn check_len(len: usize, more: usize) -> Result<(), Error> {
    let found = len.saturating_add(more);
    if found > MAX_TEXT {
        let (max, found) = (MAX_TEXT as u64, found as u64);
        return Err(Error::caller(ErrorKind::TooLarge { field: "the text, in bytes,", max, found }));
    }
    Ok(())
}

fn reserve(text: &mut String, more: usize) -> Result<(), Error> {
    check_len(text.len(), more)?;
    text.try_reserve(more).map_err(|_| out_of_memory(more))
}

#[cold]
fn out_of_memory(bytes: usize) -> Error {
    Error::caller(ErrorKind::OutOfMemory { needed: bytes as u64 })
}
