//! Python's `random.Random`, number for number.
#![deny(clippy::arithmetic_side_effects)]

use crate::random::Mt19937;

/// Draws what `random.Random(seed)` of CPython (since 3.2) draws, for a seed that is a whole number: MT19937, seeded by
/// `init_by_array` with the 32-bit digits of the seed, least first.
///
/// ```
/// let mut random = bitwire::gist::niah::PythonRandom::new(1234);
/// assert_eq!(random.random(), 0.9664535356921388);
/// ```
#[derive(Clone, Debug)]
pub struct PythonRandom(Mt19937);

impl PythonRandom {
    /// `random.Random(seed)`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let digits = [seed as u32, (seed >> 32) as u32];
        Self(Mt19937::from_key(if seed >> 32 == 0 { &digits[..1] } else { &digits }))
    }

    /// `getrandbits(bits)`, for 0 to 64 bits; more count as 64.
    pub fn bits(&mut self, bits: u32) -> u64 {
        match bits {
            0 => 0,
            1..=32 => u64::from(self.0.next() >> 32_u32.saturating_sub(bits)),
            _ => {
                let low = u64::from(self.0.next());
                let high = u64::from(self.0.next() >> 64_u32.saturating_sub(bits));
                high << 32 | low
            }
        }
    }

    /// `random()`: 0 to below 1, in steps of 2^-53.
    pub fn random(&mut self) -> f64 {
        let (high, low) = (self.0.next() >> 5, self.0.next() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// `randrange(end)`, which is also how `choice` draws of `end` items. 0 of none.
    pub fn below(&mut self, end: u64) -> u64 {
        let bits = 64_u32.saturating_sub(end.leading_zeros());
        loop {
            let drawn = self.bits(bits);
            // Each draw is below `end` with a chance of more than one in two.
            if drawn < end || end == 0 {
                return drawn;
            }
        }
    }

    /// `randint(first, last)`. `first` if the last is before it.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        match last.saturating_sub(first).checked_add(1) {
            Some(count) => first.saturating_add(self.below(count)),
            // randrange(2^64) takes 65 bits, and throws half of its draws away.
            None => loop {
                let (low, top) = (self.bits(64), self.bits(1));
                if top == 0 {
                    return low;
                }
            },
        }
    }

    /// The place that `choices` draws of `count` items: `int(random() * count)`. It always takes two numbers of the
    /// generator. `count` is below 2^53.
    pub fn place(&mut self, count: usize) -> usize {
        (self.random() * count as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::string::String;
    use std::vec::Vec;

    /// Drawn by tests/data/gist/niah/draws.py.
    fn draws() -> Value {
        serde_json::from_str(include_str!("../../../tests/data/gist/niah/draws.json")).unwrap()
    }

    fn numbers<T>(row: &Value, name: &str, get: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        row[name].as_array().unwrap().iter().map(|value| get(value).unwrap()).collect()
    }

    #[test]
    fn draws_as_python_does() {
        let draws = draws();
        let rows = draws["seeds"].as_array().unwrap();
        assert_eq!(rows.len(), 7);
        for row in rows {
            let seed: u64 = row["seed"].as_str().unwrap().parse().unwrap();
            let random = || PythonRandom::new(seed);
            let take = |mut draw: &mut dyn FnMut(usize) -> u64, name: &str| {
                // 64-bit numbers are strings in the file.
                let expected = numbers(row, name, |v| v.as_str()?.parse::<u64>().ok());
                let found: Vec<u64> = (0..expected.len()).map(&mut draw).collect();
                assert_eq!(found, expected, "{name} of seed {seed}");
            };
            let mut r = random();
            take(&mut |_| r.bits(32), "getrandbits_32");
            let mut r = random();
            take(&mut |i| r.bits(i as u32), "getrandbits_0_to_64");
            let mut r = random();
            take(&mut |i| r.below(i as u64 + 1), "randrange_1_to_40");
            let mut r = random();
            take(&mut |_| r.below(u64::MAX), "randrange_2_64_less_1");
            let mut r = random();
            take(&mut |_| r.between(1000, 16_000), "randint_1000_16000");
            let mut r = random();
            take(&mut |_| r.between(0, u64::MAX), "randint_all");
            let mut r = random();
            let found: Vec<f64> = (0..20).map(|_| r.random()).collect();
            assert_eq!(found, numbers(row, "random", Value::as_f64));
            let mut r = random();
            let found: Vec<f64> = (0..20).map(|_| r.uniform(0.2, 0.8)).collect();
            assert_eq!(found, numbers(row, "uniform_2_8", Value::as_f64));
            let mut r = random();
            let needle: String =
                (0..12).map(|_| char::from(super::super::generate::ALPHABET[r.place(36)])).collect();
            assert_eq!(needle, row["choices"].as_str().unwrap());
        }
        let mut random = PythonRandom::new(5);
        for _ in 0..10_000 {
            random.random();
        }
        assert_eq!(random.bits(32), draws["seed_5_after_20000"].as_u64().unwrap());
    }

    /// The sample fixtures of the original come of one `Random(1234)`: for each a length in tokens, a position, a template
    /// out of five until they are long enough, and a needle.
    #[test]
    fn draws_what_the_published_samples_were_made_of() {
        let mut random = PythonRandom::new(1234);
        let lines = include_str!("../../../tests/data/gist/niah_seed1234.jsonl").lines();
        let templates = [282, 323, 287, 284, 307];
        let mut count = 0;
        for line in lines {
            let sample: Value = serde_json::from_str(line).unwrap();
            let tokens = random.between(50, 200);
            assert_eq!(Some(4 * tokens + 31), sample["context_length_chars"].as_u64());
            assert_eq!(Some(random.uniform(0.2, 0.8)), sample["needle_position"].as_f64());
            let mut chars = 0;
            while chars < 4 * tokens {
                chars += templates[random.below(5) as usize];
            }
            let needle: String =
                (0..6).map(|_| char::from(super::super::generate::ALPHABET[random.place(36)])).collect();
            assert_eq!(Some(needle.as_str()), sample["needle"].as_str());
            count += 1;
        }
        assert_eq!(count, 4);
    }
}
