/** The libp2p node, discovery and framed channels. */
export { isCircuit, parseAddress } from './addresses.ts'
export { askOver } from './ask.ts'
export { channelOverSocket, channelOverStream, channelToOwn } from './channel-carriers.ts'
export { decodeControl, encodeControl } from './control.ts'
export {
  BadAddressError,
  ChannelBusyError,
  ChannelClosedError,
  ControlError,
  FrameError,
  ListenError,
  NET_ERRORS,
  NetworkStoppedError,
  PeerFrozenError,
  PortInUseError,
  ProtocolUnsupportedError,
} from './errors.ts'
export {
  DTYPE,
  encodeFrame,
  frame,
  FrameDecoder,
  HEADER_BYTES,
  MAX_CONTROL_BYTES,
  MAX_PAYLOAD_BYTES,
  STATED_BYTES,
} from './frame.ts'
export type { DType, Frame, FrameInit } from './frame.ts'
export { createNetwork } from './create-network.ts'
export type { ClusterInit, NetworkInit, NetworkNeeds } from './network-init.ts'
export { knock } from './knock.ts'
export type { Knock } from './knock.ts'
export type { LanPolicy } from './admission.ts'
export { createProber } from './probe.ts'
export type { Prober, ProbeResult } from './probe.ts'
export { serveProbes } from './probe-service.ts'
export {
  HelloFailedError,
  IncompatibleVersionError,
  NotAdmittedError,
  NotMemberError,
  OtherNetworkError,
  OtherPeerError,
  OwnIdentityError,
  PeerBannedError,
  PeerUnreachableError,
  PendingApprovalError,
  RemovedPeerError,
  TooManyNewcomersError,
} from './discovery-errors.ts'
export type {
  Channel,
  ConnectedPeer,
  InterfaceChoice,
  Membership,
  Network,
  NetworkEvents,
  Reachability,
  ReachView,
  Refusal,
} from './types.ts'
export { createDefence, OFFENCES, STREAMS_A_MINUTE } from './defence.ts'
export type { Ban, Defence, DefenceNeeds, Offence } from './defence.ts'
