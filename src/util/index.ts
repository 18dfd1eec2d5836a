/** Small parts that every room may use. */
export { canonicalJson } from './canonical.ts'
export { systemClock, systemRandom } from './needs.ts'
export type { CancelTimer, Clock, RandomSource } from './needs.ts'
export { resolveHomePath, socketPath } from './home-paths.ts'
export type { Environment } from './home-paths.ts'
export { Inbox } from './inbox.ts'
