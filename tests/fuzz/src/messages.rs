//! Any bytes as what a service sends to the native client, and streams that a service could send, in pieces of any length.

pub fn run(data: &[u8]) {
    transport_amqp::fuzzing::take_messages(data);
}
