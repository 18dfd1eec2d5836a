/**
 * The file of a privacy ledger (SQLite), and its anchor: a small file in another folder that says how far the ledger
 * was. Each access reads and checks the whole chain under the lock of the database, so that nothing in memory is believed.
 */
import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import {
  anchorNow,
  CHAIN_TABLE,
  explainedChain,
  headBytes,
  headOf,
  openDurableDatabase,
  readAnchor,
  readChain,
  writeAnchor,
} from '../../store/index.ts'
import type { ChainKind, ChainPlaces, ChainSigner } from '../../store/index.ts'
import { bodyOf, EMPTY_HEAD, ENTRY_DOMAIN, entryHash, entrySchema, HEAD_DOMAIN } from './ledger-entries.ts'
import type { Entry, EntryContent, LedgerHead } from './ledger-entries.ts'
import {
  ClockBackError,
  LedgerBusyError,
  LedgerDamagedError,
  LedgerRolledBackError,
  LedgerUnwritableError,
} from './ledger-errors.ts'

export type LedgerSigner = ChainSigner
export type LedgerPlaces = ChainPlaces

/** Clocks are corrected by minutes; by more, somebody set it back. */
const CLOCK_SLACK_MS = 300_000

const ERRORS = {
  damaged: LedgerDamagedError,
  'rolled back': LedgerRolledBackError,
  unwritable: LedgerUnwritableError,
  busy: LedgerBusyError,
} as const

const LEDGER: ChainKind<Entry> = {
  noun: 'ledger',
  entryDomain: ENTRY_DOMAIN,
  headDomain: HEAD_DOMAIN,
  check: (value) => {
    const parsed = entrySchema.safeParse(value)
    return parsed.success ? parsed.data : undefined
  },
  error: (trouble, message, facts) => new ERRORS[trouble](message, facts),
}

/** One transaction. */
export interface LedgerAccess {
  readonly entries: readonly Entry[]
  readonly head: LedgerHead
  append(what: EntryContent): LedgerHead
}

export interface LedgerFile {
  /**
   * Runs `action` under the lock; what it appended is durable, and anchored, when this returns.
   * @throws LedgerDamagedError, LedgerRolledBackError, LedgerUnwritableError, LedgerBusyError
   */
  access<T>(action: (ledger: LedgerAccess) => T): T
}

/** @param witnessed heads that this site or its peers saw: the ledger must still contain them */
export function openLedgerFile(
  needs: {
    readonly signer: LedgerSigner
    wall(): number
    witnessed(): readonly LedgerHead[]
    readonly busyMilliseconds: number
  },
  places: LedgerPlaces,
): LedgerFile {
  let seen = EMPTY_HEAD
  const begin = (database: DatabaseSync): LedgerAccess & { readonly added: () => boolean } => {
    database.exec('BEGIN IMMEDIATE')
    database.exec(CHAIN_TABLE)
    const { entries, hashes } = readChain(LEDGER, database, needs.signer, places.path)
    const contains = ({ seq, hash }: LedgerHead): boolean => seq === 0 || hashes[seq - 1] === hash
    const anchored = readAnchor(LEDGER, places, needs.signer, entries.length > 0)
    for (const head of [anchored, seen, ...needs.witnessed()]) {
      if (contains(head)) continue
      const facts = { details: { path: places.path, entries: entries.length, expected: head.seq } }
      if (head.seq > entries.length) {
        throw new LedgerRolledBackError(
          `the ledger ${places.path} has ${entries.length} entries, and had ${head.seq} before`,
          facts,
        )
      }
      throw new LedgerDamagedError(`entry ${head.seq} of the ledger ${places.path} is another than it was`, facts)
    }
    let head = headOf(hashes)
    let added = false
    const last = (): Entry | undefined => entries.at(-1)
    return {
      entries,
      get head() {
        return head
      },
      added: () => added,
      append(what) {
        const wall = needs.wall()
        const before = last()?.wall ?? wall
        if (wall < before - CLOCK_SLACK_MS) {
          throw new ClockBackError(`the clock is ${Math.round((before - wall) / 1000)} s behind the last entry`)
        }
        const entry: Entry = { seq: head.seq + 1, previous: head.hash, wall: Math.max(wall, before), what }
        const body = bodyOf(entry)
        head = { seq: entry.seq, hash: entryHash(body) }
        database
          .prepare('INSERT INTO entries VALUES (?, ?, ?, ?)')
          .run(head.seq, body, head.hash, needs.signer.sign(headBytes(HEAD_DOMAIN, head)))
        entries.push(entry)
        hashes.push(head.hash)
        added = true
        return head
      },
    }
  }
  return {
    access: (action) =>
      explainedChain(LEDGER, places.path, () => {
        if (!existsSync(places.anchor) && !existsSync(places.path))
          writeAnchor(HEAD_DOMAIN, places, needs.signer, EMPTY_HEAD)
        // A file that was put in another's place must be seen: nothing is kept open.
        const database = openDurableDatabase(places.path, needs.busyMilliseconds)
        try {
          const ledger = begin(database)
          const result = action(ledger)
          database.exec('COMMIT')
          seen = ledger.head
          if (ledger.added()) anchorNow(database, HEAD_DOMAIN, places, needs.signer)
          return result
        } finally {
          database.close()
        }
      }),
  }
}
