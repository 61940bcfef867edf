//! What the codec is measured on. The same bytes in every run: they come from a seed.

use std::fmt::Write;

/// A stream to decode.
pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) events: usize,
    /// How many times the speed of the best peer is wanted, for each chunk size.
    pub(crate) targets: [Option<f64>; 4],
}

pub(crate) fn corpora() -> Vec<Corpus> {
    let some = |large, at_64| [Some(large), Some(large), Some(at_64), Some(1.0)];
    vec![
        Corpus::new("llm", some(2.5, 1.5), repeat(llm)),
        Corpus::new("typed", some(2.0, 1.5), repeat(typed)),
        Corpus::new("data-x", some(4.0, 1.5), repeat(|_, out| out.push_str("data: x\n\n"))),
        Corpus::new("rich", some(1.5, 1.5), repeat(rich)),
        Corpus::new("8k", some(1.0, 1.5), repeat(|random, out| long(random, out, 8 << 10))),
        Corpus::new("1m", some(1.0, 1.5), {
            let mut out = String::new();
            long(&mut Random(9), &mut out, 1 << 20);
            out
        }),
        Corpus::new("llm-crlf", [None; 4], repeat(llm).replace('\n', "\r\n")),
        Corpus::new("data-x-crlf", [None; 4], repeat(|_, out| out.push_str("data: x\r\n\r\n"))),
        Corpus::new("rich-crlf", [None; 4], repeat(rich).replace('\n', "\r\n")),
        Corpus::new("rich-cr", [None; 4], repeat(rich).replace('\n', "\r")),
        Corpus::new("keep-alive", [None; 4], repeat(|_, out| out.push_str(": keep-alive\n\n")) + "data: x\n\n"),
    ]
}

impl Corpus {
    fn new(name: &'static str, targets: [Option<f64>; 4], text: String) -> Self {
        let text = Box::leak(text.into_boxed_str());
        let events = text.replace("\r\n", "\n").replace('\r', "\n");
        let events = events.split("\n\n").filter(|block| block.lines().any(|line| line.starts_with("data"))).count();
        Self { name, bytes: text.as_bytes(), events, targets }
    }
}

/// Events until there are 128 KiB of them.
fn repeat(event: impl Fn(&mut Random, &mut String)) -> String {
    let (mut random, mut out) = (Random(0x5EED), String::new());
    while out.len() < 128 << 10 {
        event(&mut random, &mut out);
    }
    out
}

/// A token of a language model's answer, about 290 bytes.
fn llm(random: &mut Random, out: &mut String) {
    let token = random.pick(&[
        " the", " of", "ing", " model", ".", ",", " stream", " and", "’s", " to", " a", " in", " is", " that", " for", "s",
        " server", " sends", " event", "-", " with", " it", " on", " each",
    ]);
    write!(
        out,
        "data: {{\"id\":\"chatcmpl-9yZ{:016x}\",\"object\":\"chat.completion.chunk\",\"created\":17{:08},\
         \"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_{:010x}\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{token}\"}},\"logprobs\":null,\"finish_reason\":null}}],\
         \"usage\":null}}\n\n",
        random.next(),
        random.next() % 100_000_000,
        random.next() >> 24,
    )
    .unwrap();
}

/// A small named event, about 120 bytes.
fn typed(random: &mut Random, out: &mut String) {
    let name = random.pick(&["content_block_delta", "price", "message_delta", "tick"]);
    write!(
        out,
        "event: {name}\ndata: {{\"type\":\"{name}\",\"index\":{},\"delta\":{{\"type\":\"text_delta\",\"text\":\"{:x}\"}}}}\n\n",
        random.next() % 10,
        random.next() >> 20,
    )
    .unwrap();
}

/// Everything the format has.
fn rich(random: &mut Random, out: &mut String) {
    write!(out, "id: {}-{}\nevent: update\n", random.next() % 1000, random.next() % 100_000).unwrap();
    if random.next().is_multiple_of(8) {
        out.push_str("retry: 3000\n");
    }
    if random.next().is_multiple_of(4) {
        out.push_str(": a comment in between\n");
    }
    for _ in 0..=random.next() % 4 {
        writeln!(out, "data: line {:x} of the event", random.next() >> 32).unwrap();
    }
    out.push('\n');
}

/// One line of about `len` bytes.
fn long(random: &mut Random, out: &mut String, len: usize) {
    let end = out.len() + len;
    out.push_str("data: ");
    while out.len() < end {
        write!(out, "{{\"row\":{},\"value\":\"{:x}\"}},", random.next() % 1000, random.next()).unwrap();
    }
    out.push_str("\n\n");
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}
