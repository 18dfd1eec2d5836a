/**
 * Peers that were found to have computed something else than they should, with what they have signed of it. Kept in the mesh
 * home; a matter of this peer alone: what others found is not believed here, and what is found here is not told to others.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { AuditEvidence } from '../pipeline/index.ts'
import { RoleError } from '../trust/index.ts'
import { writeFileAtomic } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import { PeerQuarantinedError } from './errors.ts'

/** The oldest make room: a mesh with more liars than that is lost. */
const MAX_PEERS = 256
/** A week: long enough to be noticed, and a repaired machine comes back by itself. */
const QUARANTINE_MS = 7 * 86_400_000
/** Evidence of one peer that is kept: the last. */
const MAX_EVIDENCE = 4

const hex = (bytes: number): z.ZodString => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const id = z.string().min(1).max(128)

const evidenceSchema = z.strictObject({
  peer: id,
  reason: z.enum(['rows', 'input', 'account']),
  origin: id,
  session: whole,
  attempt: whole,
  model: hex(32),
  from: whole,
  to: whole,
  position: whole,
  count: whole,
  input: hex(32),
  output: hex(32),
  kernel: z.string().max(512),
  signature: hex(64),
  expected: hex(32),
  by: z.array(id).max(8),
})

const fileSchema = z.strictObject({
  schema: z.literal('weft.quarantine/1'),
  peers: z
    .array(
      z.strictObject({
        peer: id,
        reason: z.string().max(512),
        since: whole,
        until: whole,
        evidence: z.array(evidenceSchema).min(1).max(MAX_EVIDENCE),
      }),
    )
    .max(MAX_PEERS),
})

/** `since` and `until` in milliseconds since 1970. */
export interface QuarantineEntry {
  readonly peer: string
  readonly reason: string
  readonly since: number
  readonly until: number
  /** The last of it. */
  readonly evidence: readonly AuditEvidence[]
}

/** Who may hold stages at all, by the role that it has in the cluster; others are kept out as well. */
export interface HolderRoles {
  /** @default everybody may */
  readonly mayHold?: (peer: string) => boolean
  readonly refusal?: (peer: string, purpose: 'stage') => Error
}

export class Quarantine {
  readonly #path: string
  readonly #clock: Clock
  readonly #entries = new Map<string, QuarantineEntry>()
  #saving: Promise<void> = Promise.resolve()
  /** A write is to begin, and takes what is known by then. */
  #isWaiting = false

  readonly #roles: HolderRoles

  private constructor(path: string, clock: Clock, roles: HolderRoles) {
    this.#path = path
    this.#clock = clock
    this.#roles = roles
  }

  /**
   * A file that cannot be read keeps nobody out; the line says so.
   */
  static async open(
    directory: string,
    clock: Clock,
    log: (line: string) => void,
    roles: HolderRoles = {},
  ): Promise<Quarantine> {
    const quarantine = new Quarantine(join(directory, 'quarantine.json'), clock, roles)
    const text = await readFile(quarantine.#path, 'utf8').catch(() => undefined)
    if (text === undefined) return quarantine
    try {
      for (const entry of fileSchema.parse(JSON.parse(text)).peers) quarantine.#entries.set(entry.peer, entry)
    } catch {
      log('the list of quarantined peers is damaged: nobody is kept out until somebody is found to lie again')
    }
    return quarantine
  }

  has(peer: string): boolean {
    return this.#get(peer) !== undefined || this.#roles.mayHold?.(peer) === false
  }

  /** It was found to lie, whatever its role. */
  isListed(peer: string): boolean {
    return this.#get(peer) !== undefined
  }

  list(): readonly QuarantineEntry[] {
    return [...this.#entries.keys()].flatMap((peer) => this.#get(peer) ?? [])
  }

  /** @throws PeerQuarantinedError, RoleError, MembershipStaleError for the first of these that is kept out */
  refuse(peers: Iterable<string>): void {
    for (const peer of peers) {
      const entry = this.#get(peer)
      if (entry !== undefined) throw new PeerQuarantinedError(entry)
      if (this.#roles.mayHold?.(peer) === false)
        throw this.#roles.refusal?.(peer, 'stage') ?? new RoleError(peer, 'stage')
    }
  }

  add(evidence: AuditEvidence): void {
    const { peer } = evidence
    const since = this.#clock.wall()
    const before = this.#get(peer)?.evidence ?? []
    this.#entries.delete(peer)
    const all = [...before, evidence].slice(-MAX_EVIDENCE)
    this.#entries.set(peer, { peer, reason: reasonOf(evidence), since, until: since + QUARANTINE_MS, evidence: all })
    const oldest = this.#entries.keys().next().value
    if (this.#entries.size > MAX_PEERS && oldest !== undefined) this.#entries.delete(oldest)
    // It holds in memory from now on; a full disk loses it with the process.
    void this.#save().catch(() => undefined)
  }

  /** False: it was not kept out. @throws what writing the file throws */
  async lift(peer: string): Promise<boolean> {
    const was = this.isListed(peer)
    this.#entries.delete(peer)
    if (was) await this.#save()
    return was
  }

  /** Resolves when what was found is on the disk. */
  settled(): Promise<void> {
    return this.#saving.catch(() => undefined)
  }

  #get(peer: string): QuarantineEntry | undefined {
    const entry = this.#entries.get(peer)
    if (entry === undefined || entry.until > this.#clock.wall()) return entry
    this.#entries.delete(peer)
    return undefined
  }

  #save(): Promise<void> {
    if (this.#isWaiting) return this.#saving
    this.#isWaiting = true
    const write = (): Promise<void> => {
      this.#isWaiting = false
      return writeFileAtomic(this.#path, JSON.stringify({ schema: 'weft.quarantine/1', peers: this.list() }, null, 2))
    }
    this.#saving = this.#saving.then(write, write)
    return this.#saving
  }
}

function reasonOf({ reason, from, to, position, count, by }: AuditEvidence): string {
  const rows = count === 1 ? `row ${position}` : `rows ${position} to ${position + count - 1}`
  const who = by.join(' and ')
  if (reason === 'account')
    return `as auditor of blocks [${from}, ${to}) it gave a wrong account of ${rows}: ${who} agree`
  const what = reason === 'rows' ? 'something else' : 'its input to be something else'
  return `blocks [${from}, ${to}), ${rows}: it signed what ${who} found to be ${what}`
}
