/**
 * Heads of audit logs that peers tell each other. What is kept of others shows a log that was written anew, even by its owner
 * with its own key; what others keep of this one is held against it at every verification. Each head is signed by the log's
 * owner, so nobody can make one up.
 */
import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { headBytes, readSummedJson, summedJson, writeFileAtomic } from '../../store/index.ts'
import type { ChainHead } from '../../store/index.ts'
import { verify } from '../identity.ts'
import { AUDIT_CHAIN } from './entry.ts'
import { AuditHeadsDamagedError } from './errors.ts'
import type { WitnessedHead } from './verify.ts'

const FILE = 'audit-heads.json'
const DAMAGED_FILE = 'audit-heads.damaged.json'
/** Peers whose heads are kept; those that were heard first stay, so that nobody drives them out with made-up ones. */
const MAX_PEERS = 256
/** Of each peer: the first that was seen, and the last. */
const MAX_HEADS = 32
/** Peers that remember heads of this log, and heads of each: the first, and the last. */
const MAX_WITNESSES = 256
const MAX_OWN_HEADS = 8

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const seq = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)
const id = z.string().min(1).max(128)
const signedHead = z.strictObject({ seq, hash, signature: z.string().regex(/^[0-9a-f]{128}$/) })

const fileSchema = z.strictObject({
  schema: z.literal('weft.audit-heads/1'),
  own: z.array(z.strictObject({ by: id, seq, hash })).max(MAX_WITNESSES * MAX_OWN_HEADS),
  others: z.array(z.strictObject({ peer: id, heads: z.array(signedHead).min(1).max(MAX_HEADS) })).max(MAX_PEERS),
})

export type SignedHead = z.infer<typeof signedHead>

export type HeadVerdict =
  | 'kept'
  /** The same as before, or no room. */
  | 'known'
  /** Not signed by the peer. */
  | 'forged'
  /** Another entry of a number that was seen: its log was written anew. */
  | 'forked'
  /** Fewer entries than it had: its log was cut off, or its home is an old copy. */
  | 'rolled back'

export function signHead(head: ChainHead, sign: (bytes: Uint8Array) => Uint8Array): SignedHead {
  const signature = Buffer.from(sign(headBytes(AUDIT_CHAIN.headDomain, head))).toString('hex')
  return { ...head, signature }
}

function isGenuine(peer: string, { signature, ...head }: SignedHead): boolean {
  return verify(peer, headBytes(AUDIT_CHAIN.headDomain, head), new Uint8Array(Buffer.from(signature, 'hex')))
}

export class Witnesses {
  readonly #path: string
  readonly #own = new Map<string, ChainHead[]>()
  readonly #others = new Map<string, SignedHead[]>()
  #saving: Promise<void> = Promise.resolve()
  #isWaiting = false
  /** What was seen is newer than its file, whose disk was full. */
  #isUnsaved = false

  private constructor(directory: string) {
    this.#path = join(directory, FILE)
  }

  /**
   * A file that cannot be read is put aside and named, and what is told from now on is kept: peers say their heads again,
   * and a log that went back meanwhile is seen by those whose file is whole.
   */
  static async open(directory: string, damaged: (error: Error) => void): Promise<Witnesses> {
    const witnesses = new Witnesses(directory)
    try {
      const text = await readFile(witnesses.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined
        throw error
      })
      if (text === undefined) return witnesses
      const { own, others } = fileSchema.parse(readSummedJson(text))
      for (const { by, ...head } of own) witnesses.#own.set(by, [...(witnesses.#own.get(by) ?? []), head])
      for (const { peer, heads } of others) witnesses.#others.set(peer, heads)
    } catch (error) {
      const aside = join(directory, DAMAGED_FILE)
      await rename(witnesses.#path, aside).catch(() => undefined)
      damaged(new AuditHeadsDamagedError(aside, error))
    }
    return witnesses
  }

  /** What a peer says of its own log. */
  offer(peer: string, head: SignedHead): HeadVerdict {
    const heads = this.#others.get(peer) ?? []
    if (heads.some((known) => known.seq === head.seq && known.hash === head.hash)) {
      this.#saveAgain()
      return 'known'
    }
    if (!isGenuine(peer, head)) return 'forged'
    const last = heads.at(-1)
    if (heads.some((known) => known.seq === head.seq)) return 'forked'
    if (last !== undefined && head.seq < last.seq) return 'rolled back'
    if (heads.length === 0 && this.#others.size >= MAX_PEERS) return 'known'
    const [first, ...rest] = [...heads, head]
    this.#others.set(peer, [first, ...rest.slice(1 - MAX_HEADS)])
    this.#save()
    return 'kept'
  }

  /** What another peer remembers of this log; true when that is news. @param self whose log it is */
  remember(by: string, self: string, head: SignedHead): boolean {
    const before = this.#own.get(by) ?? []
    if (before.some(({ seq: known, hash: of }) => known === head.seq && of === head.hash)) {
      this.#saveAgain()
      return false
    }
    if (!isGenuine(self, head)) return false
    if (before.length === 0 && this.#own.size >= MAX_WITNESSES) return false
    const [first, ...rest] = [...before, { seq: head.seq, hash: head.hash }]
    this.#own.set(by, [first, ...rest.slice(1 - MAX_OWN_HEADS)])
    this.#save()
    return true
  }

  own(): readonly WitnessedHead[] {
    return [...this.#own].flatMap(([by, heads]) => heads.map((head) => ({ by, ...head })))
  }

  /** The newest head of each other peer. */
  newest(): readonly (SignedHead & { readonly peer: string })[] {
    return [...this.#others].map(([peer, heads]) => ({ peer, ...heads.at(-1)! }))
  }

  settled(): Promise<void> {
    return this.#saving
  }

  /** Whether all that was seen is on the disk, once `settled`. */
  get isSaved(): boolean {
    return !this.#isUnsaved
  }

  /** Heads are told again and again: what found no room does then. */
  #saveAgain(): void {
    if (this.#isUnsaved) this.#save()
  }

  #save(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    const write = (): Promise<void> => {
      this.#isWaiting = false
      const others = [...this.#others].map(([peer, heads]) => ({ peer, heads }))
      const text = summedJson({ schema: 'weft.audit-heads/1', own: this.own(), others })
      return writeFileAtomic(this.#path, text, { mode: 0o600 }).then(
        () => void (this.#isUnsaved = false),
        () => void (this.#isUnsaved = true),
      )
    }
    this.#saving = this.#saving.then(write)
  }
}

/** Heads of this home's own log that others remember. @throws AuditHeadsDamagedError: a check without them would say too much */
export async function ownWitnesses(directory: string): Promise<readonly WitnessedHead[]> {
  const path = join(directory, FILE)
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return []
  const parsed = fileSchema.safeParse(parsedOf(text))
  if (parsed.success) return parsed.data.own
  throw new AuditHeadsDamagedError(path, parsed.error)
}

/** Heads of another peer's log that this home has seen. */
export async function witnessedBy(directory: string, peer: string): Promise<readonly WitnessedHead[]> {
  const text = await readFile(join(directory, FILE), 'utf8').catch(() => undefined)
  const parsed = text === undefined ? undefined : fileSchema.safeParse(parsedOf(text))
  const found = parsed?.success === true ? parsed.data.others.find((each) => each.peer === peer) : undefined
  return (found?.heads ?? []).map((head) => ({ seq: head.seq, hash: head.hash, by: 'this-home' }))
}

function parsedOf(text: string): unknown {
  try {
    return readSummedJson(text)
  } catch {
    return undefined
  }
}
