/** The libp2p node, discovery and framed channels. */
export { channelOverSocket, channelOverStream } from './channel-carriers.ts'
export { decodeControl, encodeControl } from './control.ts'
export { ChannelBusyError, ChannelClosedError, ControlError, FrameError, NET_ERRORS } from './errors.ts'
export { DTYPE, encodeFrame, frame, FrameDecoder, HEADER_BYTES, MAX_CONTROL_BYTES, MAX_PAYLOAD_BYTES } from './frame.ts'
export type { DType, Frame, FrameInit } from './frame.ts'
export type { Channel, ConnectedPeer, InterfaceChoice, Membership, Network, NetworkEvents, Refusal } from './types.ts'
