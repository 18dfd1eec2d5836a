/** Invites: as text, and as kept by the peer that made them. */
export * from './errors.ts'
export { decodeAdmission, encodeAdmission, MAX_ADMISSION } from './admission.ts'
export type { Admission } from './admission.ts'
export { openInviteBook, secretHash } from './invite-book.ts'
export type { Asked, Granted, Invite, InviteBook, InviteInit, Standing, Waiting } from './invite-book.ts'
export { decodeToken, encodeToken, refusedAddresses, TOKEN_PREFIX } from './token.ts'
export type { InviteToken } from './token.ts'
