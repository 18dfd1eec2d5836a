/**
 * The audit log of a peer: what is recorded is on the disk before it is acknowledged, several entries in one write where they
 * come together, and what repeats is counted instead of written again and again.
 */
import type { ChainHead, ChainPlaces } from '../../store/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../../util/index.ts'
import { AuditBusyError, AuditUnwritableError } from './errors.ts'
import { contentOf, SALT_BYTES } from './entry.ts'
import type { AuditEvent } from './entry.ts'
import { openAuditFile } from './file.ts'
import type { AuditFile, AuditSigner, Written } from './file.ts'

/** What nobody waits for is written together with what comes in this time. */
const NOTE_MS = 250
/**
 * A write holds up all else that this process does: after one that took a millisecond the next waits for fifty, so that strangers
 * who have something written by knocking at the door take a fiftieth of its time at most.
 */
const NOTE_SHARE = 50
/** What is not written yet a crash takes with it. */
const MAX_NOTE_MS = 5_000
/** What repeats is written as a count this often. */
const TALLY_MS = 60_000
/** Different repeats that are counted apart; a flood of invented names is counted as one. */
const MAX_TALLIES = 512
/** Entries that wait for room on the disk. */
const MAX_WAITING = 1_000
const RETRY_MS = 5_000
const OTHERS = 'others'

export interface AuditLog {
  /** Whether an entry could be written now. @throws what `AuditFile.append` throws */
  check(): void
  /** Durable when it resolves. @throws what `AuditFile.append` throws */
  record(event: AuditEvent): Promise<ChainHead>
  /** Written soon; kept and tried again while the disk is full. */
  note(event: AuditEvent): void
  /** The first of its kind at once, those that repeat it as a count every minute (`facts.count`). */
  tally(event: AuditEvent): void
  /** Of what this process has written. */
  head(): ChainHead
  /** Entries that wait for the disk; `lost`: those that there was no room for at all. */
  trouble(): { readonly waiting: number; readonly lost: number; readonly why: string | null }
  onHead(listener: (head: ChainHead) => void): () => void
  /** Writes what waits, and this at the very end. */
  close(last?: AuditEvent): void
}

export interface AuditLogNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly signer: AuditSigner
  log(fields: object, line: string): void
  /** How long another process may hold the file. @default 5000 */
  readonly busyMilliseconds?: number
}

interface Tally {
  readonly event: AuditEvent
  count: number
}

/** No file is touched until there is something to write. */
export function openAuditLog(needs: AuditLogNeeds, places: ChainPlaces): AuditLog {
  return new FileAuditLog(needs, openAuditFile(needs.signer, places, needs.busyMilliseconds))
}

class FileAuditLog implements AuditLog {
  readonly #needs: AuditLogNeeds
  readonly #file: AuditFile
  readonly #tallies = new Map<string, Tally>()
  readonly #listeners = new Set<(head: ChainHead) => void>()
  #waiting: Written[] = []
  /** Those that somebody waits for: told when they cannot be written, and not tried again. */
  #urgent: Written[] = []
  #lost = 0
  #why: string | null = null
  #cancelNote: CancelTimer | undefined
  /** Of what may come very often, by somebody else's will. */
  #noteMs = NOTE_MS
  #noteAt = 0
  #cancelTally: CancelTimer | undefined
  #flushing: Promise<ChainHead> | undefined
  #closed = false

  constructor(needs: AuditLogNeeds, file: AuditFile) {
    this.#needs = needs
    this.#file = file
  }

  check(): void {
    this.#file.append([])
  }

  /** Whoever records at the same moment shares the write. */
  record(event: AuditEvent): Promise<ChainHead> {
    this.#urgent.push(this.#written(event))
    this.#flushing ??= Promise.resolve().then(() => {
      this.#flushing = undefined
      return this.#write()
    })
    return this.#flushing
  }

  note(event: AuditEvent): void {
    this.#put(event)
    this.#later(NOTE_MS)
  }

  tally(event: AuditEvent): void {
    const key = JSON.stringify([event.who, event.what, event.target, event.result, event.rule])
    const known = this.#tallies.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    if (this.#tallies.size >= MAX_TALLIES && event.target !== OTHERS) {
      this.tally({ who: 'weft', what: event.what, target: OTHERS, result: event.result })
      return
    }
    this.#tallies.set(key, { event, count: 0 })
    this.#cancelTally ??= this.#needs.clock.after(TALLY_MS, () => this.#writeTallies())
    this.#put(event)
    this.#later(this.#noteMs)
  }

  head(): ChainHead {
    return this.#file.head
  }

  trouble(): ReturnType<AuditLog['trouble']> {
    return { waiting: this.#waiting.length, lost: this.#lost, why: this.#why }
  }

  onHead(listener: (head: ChainHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(last?: AuditEvent): void {
    if (this.#closed) return
    this.#writeTallies()
    if (last !== undefined) this.#put(last)
    this.#try()
    this.#closed = true
    this.#cancelNote?.()
    this.#cancelTally?.()
  }

  #put(event: AuditEvent): void {
    if (this.#waiting.length >= MAX_WAITING) this.#lost++
    else this.#waiting.push(this.#written(event))
  }

  #written(event: AuditEvent): Written {
    const { clock, random } = this.#needs
    return { wall: clock.wall(), content: contentOf(event, random.bytes(SALT_BYTES)) }
  }

  #writeTallies(): void {
    this.#cancelTally?.()
    this.#cancelTally = undefined
    const repeated = [...this.#tallies.values()].filter(({ count }) => count > 0)
    this.#tallies.clear()
    for (const { event, count } of repeated) this.#put({ ...event, facts: { ...event.facts, count } })
    if (repeated.length > 0) this.#later(this.#noteMs)
  }

  #later(milliseconds: number): void {
    if (this.#closed) return
    const at = this.#needs.clock.now() + milliseconds
    // What can wait waits for what cannot; while the disk is full all wait for the next try.
    if (this.#cancelNote !== undefined && (this.#noteAt <= at || this.#why !== null)) return
    this.#cancelNote?.()
    this.#noteAt = at
    this.#cancelNote = this.#needs.clock.after(milliseconds, () => {
      this.#cancelNote = undefined
      this.#try()
    })
  }

  #try(): void {
    try {
      this.#write()
    } catch (error) {
      const isPassing = error instanceof AuditUnwritableError || error instanceof AuditBusyError
      if (isPassing) this.#later(RETRY_MS)
    }
  }

  #write(): ChainHead {
    const urgent = this.#urgent
    this.#urgent = []
    const gap = { who: 'weft', what: 'audit.gap', result: 'failed', facts: { lost: this.#lost } } as const
    const batch = [...this.#waiting, ...(this.#lost > 0 ? [this.#written(gap)] : []), ...urgent]
    if (batch.length === 0) return this.#file.head
    const began = this.#needs.clock.now()
    try {
      const head = this.#file.append(batch)
      this.#noteMs = Math.min(MAX_NOTE_MS, Math.max(NOTE_MS, NOTE_SHARE * (this.#needs.clock.now() - began)))
      this.#waiting = []
      this.#lost = 0
      this.#why = null
      for (const listener of this.#listeners) listener(head)
      return head
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (this.#why !== why) this.#needs.log({ err: error }, 'the audit log could not be written')
      this.#why = why
      throw error
    }
  }
}
