/** Where peers of earlier runs were, and which a person has let in or kept out: `peers/` of the mesh home. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../store/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'

/** As many as a home ever needs to find its mesh again; the ones reached last stay. */
const MAX_PEERS = 256
const MAX_ADDRESSES = 8
/** Each was typed by a person; the first ones make room. */
const MAX_DECISIONS = 4096
/** Addresses change in bursts when a network comes up. */
const SETTLE_MS = 1_000

const bookSchema = z.strictObject({
  schema: z.literal('weft.address-book/1'),
  peers: z
    .array(z.strictObject({ id: z.string().max(128), addresses: z.array(z.string().max(512)).max(MAX_ADDRESSES) }))
    .max(MAX_PEERS),
  approved: z.array(z.string().max(128)).max(MAX_DECISIONS),
  denied: z.array(z.string().max(128)).max(MAX_DECISIONS).default([]),
})

type Book = z.infer<typeof bookSchema>

export class AddressBook {
  readonly #path: string
  readonly #clock: Clock
  readonly #peers = new Map<string, readonly string[]>()
  readonly #approved = new Set<string>()
  readonly #denied = new Set<string>()
  #timer: CancelTimer | undefined

  private constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  /** A book that cannot be read is begun anew: it holds nothing that cannot be found again. */
  static async open(directory: string, clock: Clock, log: (line: string) => void): Promise<AddressBook> {
    const book = new AddressBook(join(directory, 'address-book.json'), clock)
    const text = await readFile(book.#path, 'utf8').catch(() => undefined)
    if (text === undefined) return book
    const parsed = bookSchema.safeParse(parseJson(text))
    if (!parsed.success) {
      log('the address book is damaged and is begun anew')
      return book
    }
    for (const { id, addresses } of parsed.data.peers) book.#peers.set(id, addresses)
    for (const id of parsed.data.approved) book.#approved.add(id)
    for (const id of parsed.data.denied) book.#denied.add(id)
    return book
  }

  get peers(): readonly { readonly id: string; readonly addresses: readonly string[] }[] {
    return [...this.#peers].map(([id, addresses]) => ({ id, addresses }))
  }

  get approved(): readonly string[] {
    return [...this.#approved]
  }

  get denied(): readonly string[] {
    return [...this.#denied]
  }

  reachable(id: string, addresses: readonly string[]): void {
    this.#peers.delete(id)
    this.#peers.set(id, addresses.slice(0, MAX_ADDRESSES))
    const oldest = this.#peers.keys().next().value
    if (this.#peers.size > MAX_PEERS && oldest !== undefined) this.#peers.delete(oldest)
    this.#timer ??= this.#clock.after(SETTLE_MS, () => void this.save())
  }

  async decide(id: string, admit: boolean): Promise<void> {
    const [into, outOf] = admit ? [this.#approved, this.#denied] : [this.#denied, this.#approved]
    outOf.delete(id)
    into.add(id)
    const oldest = into.values().next().value
    if (into.size > MAX_DECISIONS && oldest !== undefined) into.delete(oldest)
    await this.save()
  }

  /** Failing to keep addresses (a full disk) ends nothing: they are found again. */
  async save(): Promise<void> {
    this.#timer?.()
    this.#timer = undefined
    const book: Book = {
      schema: 'weft.address-book/1',
      peers: this.peers.map(({ id, addresses }) => ({ id, addresses: [...addresses] })),
      approved: this.approved.slice(),
      denied: this.denied.slice(),
    }
    await writeFileAtomic(this.#path, JSON.stringify(book, null, 2)).catch(() => undefined)
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** For the next start of a peer of this home: where others are. */
export async function rememberPeers(
  directory: string,
  clock: Clock,
  peers: readonly { readonly id: string; readonly addresses: readonly string[] }[],
): Promise<void> {
  // a home that has only joined a cluster has never run
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch(() => undefined)
  const book = await AddressBook.open(directory, clock, () => undefined)
  for (const { id, addresses } of peers) book.reachable(id, addresses)
  await book.save()
}
