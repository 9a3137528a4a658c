use std::collections::HashMap;

/// How often each word stands in a text, the most frequent first; among equals by the alphabet.
pub fn frequencies(text: &str) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted
}

/// The longest prefix of at most `room` bytes that does not cut a character in two.
#[must_use]
pub fn fitting(text: &str, room: usize) -> &str {
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub struct Window {
    last: Vec<f64>,
    at: usize,
}

impl Window {
    /// The mean of the last values, once the new one has taken the place of the oldest.
    pub fn push(&mut self, value: f64) -> f64 {
        let size = self.last.len();
        self.last[self.at] = value;
        self.at = (self.at + 1) % size;
        self.last.iter().sum::<f64>() / size as f64
    }
}
