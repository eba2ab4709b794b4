//! What a model remembers: a bounded number of conversations, each with a bounded past.

use std::collections::VecDeque;

use serde::Serialize;

/// Most conversations that are remembered; the one that was silent longest is forgotten first.
pub const CONVERSATIONS_MAX: usize = 64;
/// Most messages of one conversation.
pub const MESSAGES_MAX: usize = 40;
/// Most text of one conversation, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever set the agent up.
    System,
    /// Whoever wrote to it.
    User,
    /// The model.
    Assistant,
}

/// One message, as the endpoint reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// Who said it.
    pub role: Role,
    /// What.
    pub content: String,
}

struct Conversation {
    id: String,
    past: VecDeque<Said>,
}

/// All conversations, the latest last.
#[derive(Default)]
pub struct Memory(VecDeque<Conversation>);

impl Memory {
    /// What was said in this conversation, oldest first.
    pub fn past(&self, id: &str) -> impl Iterator<Item = &Said> {
        self.0.iter().find(|conversation| conversation.id == id).into_iter().flat_map(|found| &found.past)
    }

    /// What was said in the conversation that spoke last.
    pub fn latest(&self) -> Option<(&str, impl Iterator<Item = &Said>)> {
        self.0.back().map(|conversation| (conversation.id.as_str(), conversation.past.iter()))
    }

    /// Adds a question with its answer: what failed is not remembered, or a model would see questions without answers.
    pub fn remember(&mut self, id: &str, question: String, answer: String) {
        let known = self.0.iter().position(|conversation| conversation.id == id).and_then(|at| self.0.remove(at));
        let mut conversation = known.unwrap_or_else(|| Conversation { id: id.to_owned(), past: VecDeque::new() });
        conversation.past.push_back(Said { role: Role::User, content: question });
        conversation.past.push_back(Said { role: Role::Assistant, content: answer });
        while conversation.is_too_long() {
            // Both halves of an exchange.
            conversation.past.drain(..2);
        }
        self.0.push_back(conversation);
        if self.0.len() > CONVERSATIONS_MAX {
            self.0.pop_front();
        }
    }
}

impl Conversation {
    fn is_too_long(&self) -> bool {
        let bytes: usize = self.past.iter().map(|said| said.content.len()).sum();
        self.past.len() >= 2 && (self.past.len() > MESSAGES_MAX || bytes > TEXT_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(memory: &Memory, id: &str) -> Vec<String> {
        memory.past(id).map(|said| said.content.clone()).collect()
    }

    #[test]
    fn a_conversation_forgets_its_beginning() {
        let mut memory = Memory::default();
        for n in 0..30 {
            memory.remember("a", format!("q{n}"), format!("a{n}"));
        }
        assert_eq!(said(&memory, "a").len(), MESSAGES_MAX);
        assert_eq!(said(&memory, "a")[..2], ["q10", "a10"]);
        memory.remember("a", "x".repeat(TEXT_BYTES_MAX - 10), "last".into());
        assert_eq!(said(&memory, "a").len(), 4, "the two that fit, with the last exchange before");
        memory.remember("a", "x".repeat(TEXT_BYTES_MAX + 1), String::new());
        assert_eq!(said(&memory, "a").len(), 0);
    }

    #[test]
    fn the_conversation_that_was_silent_longest_is_forgotten() {
        let mut memory = Memory::default();
        for n in 0..CONVERSATIONS_MAX {
            memory.remember(&n.to_string(), "q".into(), "a".into());
        }
        memory.remember("0", "q".into(), "a".into());
        memory.remember("new", "q".into(), "a".into());
        assert_eq!(memory.0.len(), CONVERSATIONS_MAX);
        assert_eq!((said(&memory, "0").len(), said(&memory, "1").len()), (4, 0));
    }
}
