/** The membership log between peers: spread among members, and given to those who hand in an invite. */
export { enrol } from './enrol-client.ts'
export type { EnrolOutcome } from './enrol-client.ts'
export { serveEnrolments } from './enrol-server.ts'
export type { InviteUse } from './enrol-server.ts'
export { createSpread } from './spread.ts'
export type { Spread, SpreadNeeds } from './spread.ts'
