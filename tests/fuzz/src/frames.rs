//! Any bytes as what an AMQP service sends, cut anywhere: the first byte is the length of a piece.

pub fn run(data: &[u8]) {
    let [chunk, stream @ ..] = data else { return };
    transport_amqp::fuzzing::take_frames(stream, usize::from(*chunk));
}
