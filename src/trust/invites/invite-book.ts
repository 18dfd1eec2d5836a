/**
 * Invites that this peer has made, and what was redeemed with them: a SQLite file. A use is taken under the lock of the
 * file and is durable before anybody is told, so that of a hundred who come at once one wins, also across a kill -9. Of
 * secrets there are hashes only.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { diskTrouble, openDurableDatabase, openRowSums, undoTransaction } from '../../store/index.ts'
import type { RandomSource } from '../../util/index.ts'
import type { Role } from '../membership/index.ts'
import { WeftError } from '../../errors.ts'
import {
  InviteBoundError,
  InviteDeniedError,
  InviteExpiredError,
  InvitesUnusableError,
  InvitesUnwritableError,
} from './errors.ts'
import { InviteUnknownError, InviteUsedError, InviteWaitsError } from './errors.ts'
import { INVITE_ID_BYTES, SECRET_BYTES } from './token.ts'

const TABLES = `
CREATE TABLE IF NOT EXISTS invites (id TEXT PRIMARY KEY, hash BLOB NOT NULL, role TEXT NOT NULL, site TEXT NOT NULL,
  expires INTEGER NOT NULL, uses INTEGER NOT NULL, left INTEGER NOT NULL, peer TEXT, approve INTEGER NOT NULL,
  created INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS uses (id TEXT NOT NULL, peer TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (id, peer)) STRICT;
CREATE TABLE IF NOT EXISTS waiting (peer TEXT PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
  admit INTEGER) STRICT;`
const BUSY_MS = 5_000
/** Who has an invite may ask with many identities: no more of them wait than a person could look at. */
const MAX_WAITING = 64

export interface InviteInit {
  readonly role: Role
  readonly site: string
  /** Milliseconds since 1970. */
  readonly expires: number
  readonly uses: number
  /** The one peer that may use it. */
  readonly peer?: string | undefined
  /** A person has to approve each that uses it. */
  readonly approve: boolean
}

export interface Invite extends InviteInit {
  readonly id: string
  /** Uses that are left. */
  readonly left: number
  readonly created: number
  readonly used_by: readonly string[]
}

export interface Waiting {
  readonly peer: string
  readonly name: string
  readonly invite: string
  readonly at: number
}

/** What the log says of a peer: not in it, in it, or gone by itself. Who was removed does not get this far. */
export type Standing = 'new' | 'member' | 'left'

export interface Asked {
  readonly id: string
  readonly peer: string
  readonly standing: Standing
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface Granted {
  readonly role: Role
  readonly site: string
  /** The peer had taken its use before: it, or this peer, was killed in between. */
  readonly again: boolean
}

export interface InviteBook {
  /** The secret is in this answer and nowhere else. */
  create(init: InviteInit, now: number): { readonly invite: Invite; readonly secret: Uint8Array }
  list(): readonly Invite[]
  /** @throws InviteUnknownError */
  remove(id: string): void
  /** What proves to a joiner that this peer has made the invite; a random one for an invite that is not here. */
  proofKey(id: string): Uint8Array
  /**
   * Whether `redeem` could give it to this peer; nothing is taken.
   * @throws InviteUnknownError, InviteExpiredError, InviteUsedError, InviteBoundError, InviteDeniedError
   */
  check(asked: Asked): Granted
  /**
   * Takes a use for a peer. A peer that has taken one before gets it again for as long as it has not left: what it had
   * is spent then. @throws as `check`, InviteWaitsError
   */
  redeem(asked: Asked & { readonly secret: Uint8Array; readonly name: string }): Granted
  /** Those that were made by then are good for nobody new: how many were. Milliseconds since 1970. */
  void(until: number): number
  waiting(): readonly Waiting[]
  /** False: nobody of that id waits. */
  decide(peer: string, admit: boolean): boolean
  close(): void
}

export function secretHash(secret: Uint8Array): Uint8Array {
  return createHash('sha256').update('weft invite secret 1\n').update(secret).digest()
}

/** @throws InvitesUnusableError, InvitesUnwritableError */
export function openInviteBook(path: string, random: RandomSource): InviteBook {
  const usable = <T>(action: () => T): T => {
    try {
      return action()
    } catch (error) {
      if (error instanceof WeftError) throw error
      const trouble = diskTrouble(path, error)
      if (trouble !== undefined && trouble.kind !== 'damaged') throw new InvitesUnwritableError(trouble, error)
      throw new InvitesUnusableError(path, error)
    }
  }
  const database = usable(() => openDurableDatabase(path, BUSY_MS, TABLES))
  const sums = usable(() => openRowSums(database, { invites: 'id', uses: 'id, peer', waiting: 'peer' }))
  const reading = <T>(action: () => T): T =>
    usable(() => {
      sums.check()
      return action()
    })
  const rowOf = (id: string): Record<string, unknown> | undefined =>
    database.prepare('SELECT * FROM invites WHERE id = ?').get(id)
  const usersOf = (id: string): string[] =>
    database
      .prepare('SELECT peer FROM uses WHERE id = ? ORDER BY at')
      .all(id)
      .map((row) => row['peer'] as string)
  const inviteOf = (row: Record<string, unknown>): Invite => ({
    id: String(row['id']),
    role: row['role'] as Role,
    site: String(row['site']),
    expires: Number(row['expires']),
    uses: Number(row['uses']),
    left: Number(row['left']),
    ...(row['peer'] === null ? {} : { peer: row['peer'] as string }),
    approve: row['approve'] === 1,
    created: Number(row['created']),
    used_by: usersOf(String(row['id'])),
  })
  const locked = <T>(action: () => T): T =>
    usable(() => {
      database.exec('BEGIN IMMEDIATE')
      try {
        sums.check()
        const result = action()
        sums.renew()
        database.exec('COMMIT')
        return result
      } catch (error) {
        // what was noted about who waits stands, whatever is answered
        if (error instanceof InviteWaitsError) {
          sums.renew()
          database.exec('COMMIT')
        } else undoTransaction(database)
        throw error
      }
    })

  const granted = ({ id, peer, standing, now }: Asked): Granted & { readonly invite: Invite } => {
    const row = rowOf(id)
    if (row === undefined) throw new InviteUnknownError()
    const invite = inviteOf(row)
    const { role, site } = invite
    if (invite.peer !== undefined && invite.peer !== peer) throw new InviteBoundError(peer)
    if (invite.used_by.includes(peer)) {
      if (standing === 'left') throw new InviteUsedError()
      return { role, site, again: true, invite }
    }
    // before a use is taken: nobody wastes one who cannot get in by it
    if (standing === 'member') throw new InviteDeniedError('it is a member already')
    if (now >= invite.expires) throw new InviteExpiredError(invite.expires, now)
    if (invite.left < 1) throw new InviteUsedError()
    return { role, site, again: false, invite }
  }
  const approved = (id: string, peer: string, name: string, now: number): void => {
    const row = database.prepare('SELECT admit FROM waiting WHERE peer = ? AND id = ?').get(peer, id)
    if (row?.['admit'] === 1) return
    if (row?.['admit'] === 0) throw new InviteDeniedError('a person has said no')
    if (row === undefined) {
      const count = Number(database.prepare('SELECT count(*) AS n FROM waiting WHERE admit IS NULL').get()?.['n'])
      if (count >= MAX_WAITING) throw new InviteDeniedError('too many wait for approval')
      database.prepare('INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, NULL)').run(peer, id, name, now)
    }
    throw new InviteWaitsError(peer)
  }

  return {
    create: (init, now) =>
      locked(() => {
        const id = Buffer.from(random.bytes(INVITE_ID_BYTES)).toString('hex')
        const secret = random.bytes(SECRET_BYTES)
        const { role, site, expires, uses, peer = null, approve } = init
        database
          .prepare('INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
          .run(id, secretHash(secret), role, site, expires, uses, uses, peer, approve ? 1 : 0, now)
        return { invite: inviteOf(rowOf(id)!), secret }
      }),
    list: () => reading(() => database.prepare('SELECT * FROM invites ORDER BY created').all().map(inviteOf)),
    remove: (id) =>
      locked(() => {
        const { changes } = database.prepare('DELETE FROM invites WHERE id = ?').run(id)
        if (Number(changes) === 0) throw new InviteUnknownError({ details: { id: id.slice(0, 40) } })
        database.prepare('DELETE FROM waiting WHERE id = ?').run(id)
      }),
    proofKey: (id) => reading(() => (rowOf(id)?.['hash'] as Uint8Array | undefined) ?? random.bytes(32)),
    check: (asked) =>
      reading(() => {
        const { role, site, again } = granted(asked)
        return { role, site, again }
      }),
    redeem: ({ secret, name, ...asked }) =>
      locked(() => {
        const { id, peer, now } = asked
        const hash = rowOf(id)?.['hash']
        if (hash === undefined || !timingSafeEqual(secretHash(secret), hash as Uint8Array))
          throw new InviteUnknownError()
        const { role, site, again, invite } = granted(asked)
        if (again) return { role, site, again }
        if (invite.approve) approved(id, peer, name, now)
        database.prepare('UPDATE invites SET left = left - 1 WHERE id = ?').run(id)
        database.prepare('INSERT INTO uses VALUES (?, ?, ?)').run(id, peer, now)
        database.prepare('DELETE FROM waiting WHERE peer = ?').run(peer)
        return { role, site, again }
      }),
    void: (until) =>
      locked(() => {
        const { changes } = database.prepare('UPDATE invites SET left = 0 WHERE left > 0 AND created <= ?').run(until)
        return Number(changes)
      }),
    waiting: () =>
      reading(() =>
        database
          .prepare('SELECT * FROM waiting WHERE admit IS NULL ORDER BY at')
          .all()
          .map((row) => ({
            peer: String(row['peer']),
            name: String(row['name']),
            invite: String(row['id']),
            at: Number(row['at']),
          })),
      ),
    decide: (peer, admit) =>
      locked(() => {
        const { changes } = database.prepare('UPDATE waiting SET admit = ? WHERE peer = ?').run(admit ? 1 : 0, peer)
        return Number(changes) > 0
      }),
    close: () => database.close(),
  }
}
