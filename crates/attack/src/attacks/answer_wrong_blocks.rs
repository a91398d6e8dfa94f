//! `answer_wrong_blocks`: answers each question for a header or block with a genuine one that was not asked for, or with the right
//! header over the wrong batch.
//!
//! Must hold: an answer counts for what it contains alone, what nobody asked for is refused before it costs a
//! verification, and the next replica is asked.

use quorate_types::ReplicaId;
use quorate_types::message::{Data, Message};

use crate::adversary::{Adversary, Cx};

/// Gives other blocks than those asked for.
#[derive(Debug)]
pub struct AnswerWrongBlocks {
    last: Option<Data>,
}

/// Answers with what the question before was for; a first question gets a block without its batch.
#[must_use]
pub const fn answer_wrong_blocks() -> AnswerWrongBlocks {
    AnswerWrongBlocks { last: None }
}

impl Adversary for AnswerWrongBlocks {
    fn name(&self) -> &'static str {
        "answer_wrong_blocks"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Data(answer @ (Data::Header(_) | Data::Block { .. })) = message else {
            return cx.send(to, message);
        };
        let wrong = match (self.last.replace(answer.clone()), &answer) {
            (Some(last), _) if last != answer && cx.chance(60) => last,
            (_, Data::Block { header, batch }) if !batch.is_empty() => {
                let batch = batch.slice(..batch.len() - 1);
                Data::Block { header: *header, batch }
            }
            (Some(last), _) => last,
            (None, _) => return cx.fired(),
        };
        if wrong != answer {
            cx.fired();
        }
        cx.send(to, Message::Data(wrong));
    }
}
