//! A conversation as a list of messages, and saying the host's part of it again.

use serde_json::Value;
use ztc_adapter_sdk::protocol::{Method, message::Shutdown};
use ztc_adapter_sdk::testing::Conversation;

/// Who said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Host,
    Adapter,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: From,
    pub(crate) content: Value,
}

/// Says the host's part and returns all messages, with what the adapter says today. After `shutdown` another adapter is started.
pub(crate) fn replay(recorded: &[Message], start: impl Fn() -> Conversation) -> Vec<Message> {
    let mut conversation = Some(start());
    let mut ending = false;
    let mut messages = Vec::new();
    for message in recorded {
        let content = match message.from {
            From::Host => {
                let line = message.content.to_string();
                ending = message.content["method"] == Shutdown::NAME;
                conversation.get_or_insert_with(&start).say(&line);
                message.content.clone()
            }
            From::Adapter => {
                let heard = conversation.get_or_insert_with(&start).hear();
                if ending {
                    let unheard = conversation.take().map(Conversation::end);
                    assert_eq!(unheard, Some(Vec::new()), "the adapter said more");
                }
                heard
            }
        };
        messages.push(Message {
            from: message.from,
            content,
        });
    }
    let unheard = conversation.map(Conversation::end).unwrap_or_default();
    assert_eq!(unheard, Vec::<String>::new(), "the adapter said more");
    messages
}
