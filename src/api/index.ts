/** HTTP over a peer: OpenAI-compatible and admin routes, health, metrics, the status page. */
export { createApi } from './api.ts'
export { API_ERRORS } from './catalogue.ts'
export {
  AnswerTimeoutError,
  ClientGoneError,
  ClientStalledError,
  ListenError,
  PortInUseError,
  ShuttingDownError,
  SocketInUseError,
} from './errors.ts'
export { DEFAULT_LIMITS } from './limits.ts'
export type { ApiLimits } from './limits.ts'
export type { Api, ApiInit, AdminCall, ApiNeeds, KeyVerifier, ListenAddress, Scope } from './types.ts'
