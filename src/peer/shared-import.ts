/**
 * Peers that want the same model pull it from its source once in total: each says that it wants it, the one with the
 * smallest hash distance to the source fetches it, and the others take it from the mesh. When that one goes, stops
 * talking or fails, the next takes over. However busy the machines are: whose turn it is asks all connected peers first
 * whether they have heard that it wants it, and by their answers it has heard of all that wanted it before they did.
 */
import { createHash } from 'node:crypto'
import { WeftError } from '../errors.ts'
import type { ImportRecord, Mesh, SeenImport } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { ImportRequest, ProgressSink } from './types.ts'

/** Gossip reaches everybody on a local network within a fraction of it. */
const SETTLE_MS = 1_000
const LOOK_MS = 250
/** How often a peer that fetches says how far it is. */
const SAY_MS = 2_000
/** One that has said nothing for so long is passed over, connected or not. */
const SILENCE_MS = 30_000
/** One that says that it goes on, and gets no further, is waited for so long: measuring a large model takes minutes. */
const STILL_MS = 10 * 60_000
/** A connected peer that has not answered within it is not waited for: it hangs, and is taken for gone soon. */
const ANSWER_MS = 10_000
/** Whose turn it is has so long to begin: it looks four times a second, and waits for answers. */
const TURN_MS = 30_000
/** When so many have failed, the source is not for the one after the other: the rest try at once. */
const MAX_FAILURES = 2

/** How often taking a model from the mesh is begun. */
const ATTEMPTS = 3

const WAITING: ImportRecord = { state: 'waiting', done: 0, total: null, digest: null }

const REMOTE = /^(?:https?|hf|npm|pypi):/

export interface SharedImportNeeds {
  readonly self: string
  readonly clock: Clock
  readonly mesh: Mesh
  readonly count: Telemetry['count']
  /** Does the name stand in a catalogue with sources elsewhere only? */
  readonly isListed: (source: string) => Promise<boolean>
  /** Digest that the model must have to be taken from the mesh; undefined: nobody knows it beforehand. */
  readonly expected: string | undefined
  /** Whoever says for so long that it goes on is not believed any more: it may be lying. */
  readonly patienceMs: number
  /** From the source. */
  readonly fromSource: (
    request: ImportRequest,
    progress: ProgressSink,
    signal: AbortSignal | undefined,
  ) => Promise<AnyManifest>
  /** From the peers that hold it, whole. */
  readonly fromMesh: (digest: string, progress: ProgressSink, signal: AbortSignal | undefined) => Promise<AnyManifest>
  /** Shows that another peer fetches it, while it does. */
  readonly whileWaiting: (progress: ProgressSink, wait: (listen: ProgressSink) => Promise<void>) => Promise<void>
}

export async function sharedImport(
  needs: SharedImportNeeds,
  request: ImportRequest,
  progress: ProgressSink,
  signal?: AbortSignal,
): Promise<AnyManifest> {
  const isShared = REMOTE.test(request.source) || (await needs.isListed(request.source))
  // What a peer measures for itself is not what the others wait for.
  const own = request.alone === true || request.measure !== undefined || request.calibration !== undefined
  if (own || !isShared) return needs.fromSource(request, progress, signal)
  return new SharedImport(needs, request, progress, signal).run()
}

class SharedImport {
  readonly #needs: SharedImportNeeds
  readonly #request: ImportRequest
  readonly #progress: ProgressSink
  readonly #signal: AbortSignal | undefined
  readonly #key: string
  /** When each was last heard of, and when it was further than before. */
  readonly #heard = new Map<string, { serial: number; at: number; state: string; done: number; moved: number }>()
  /** Failures of before this began do not count. */
  readonly #old: ReadonlySet<string>
  /** Since when nobody fetches it. */
  #vacant: number | undefined
  /** Another peer was before this one. */
  #followed = false

  constructor(needs: SharedImportNeeds, request: ImportRequest, progress: ProgressSink, signal?: AbortSignal) {
    this.#needs = needs
    this.#request = request
    this.#progress = progress
    this.#signal = signal
    const { source, name = null, weights = null } = request
    this.#key = createHash('sha256')
      .update(JSON.stringify([source, name, weights]))
      .digest('hex')
    this.#old = new Set(needs.mesh.imports(this.#key).map(nameOf))
  }

  async run(): Promise<AnyManifest> {
    const { clock } = this.#needs
    try {
      for (let attempt = 1; ; attempt++) {
        if (this.#held() === undefined) {
          await this.#say(WAITING)
          await clock.sleep(SETTLE_MS, this.#signal)
          await this.#beating(() => WAITING, this.#turn())
        }
        const digest = this.#held()
        if (digest === undefined) return await this.#fetch()
        try {
          return await this.#take(digest)
        } catch (error) {
          // The holder may have gone in the middle: somebody else has it now, or it is fetched from the source again.
          if (attempt === ATTEMPTS || !(error instanceof WeftError) || !error.retryable) throw error
        }
      }
    } catch (error) {
      await this.#say({ state: 'failed', done: 0, total: null, digest: null })
      throw error
    }
  }

  /** Until the model is in the mesh, or it is this peer's turn and all others know that it wants it. */
  async #turn(): Promise<void> {
    const { clock, mesh, patienceMs, whileWaiting } = this.#needs
    const end = clock.now() + patienceMs
    await mesh.settled(ANSWER_MS, this.#signal)
    while (this.#leader() !== undefined && this.#held() === undefined && clock.now() <= end) {
      await whileWaiting(this.#progress, (listen) => this.#wait(listen, end))
      if (this.#held() === undefined) await mesh.settled(ANSWER_MS, this.#signal)
    }
  }

  async #wait(listen: ProgressSink, end: number): Promise<void> {
    const { clock, mesh } = this.#needs
    for (let leader = this.#leader(); leader !== undefined && this.#held() === undefined; leader = this.#leader()) {
      if (clock.now() > end) return
      const { peer, done, total } = leader
      const name = mesh.peers().find(({ id }) => id === peer)?.name ?? peer
      listen({
        type: 'progress',
        task: `waiting for ${name}, which fetches ${this.#request.source}`,
        done,
        total,
        unit: 'bytes',
      })
      this.#followed = true
      await clock.sleep(LOOK_MS, this.#signal)
    }
  }

  async #take(digest: string): Promise<AnyManifest> {
    const { count, fromMesh } = this.#needs
    const manifest = await fromMesh(digest, this.#progress, this.#signal)
    count('imports_shared')
    await this.#say(null)
    return manifest
  }

  /** The model, where a reachable peer holds what came of this source. */
  #held(): string | undefined {
    const { expected, mesh, self } = this.#needs
    const near = (peer: string): boolean => peer !== self && mesh.state(peer) === 'connected'
    const right = (digest: string): boolean => expected === undefined || digest === expected
    const known = mesh.manifests().filter(({ digest, holders }) => right(digest) && holders.some(near))
    for (const { digest, state } of mesh.imports(this.#key)) {
      if (state === 'done' && known.some((manifest) => manifest.digest === digest)) return digest ?? undefined
    }
    // A name of the catalogue is a model's name: it may have come before anybody of now was there.
    return known.find(({ model }) => this.#request.name === undefined && model === this.#request.source)?.digest
  }

  /** Whom to wait for; undefined: it is this peer's turn. */
  #leader(): SeenImport | undefined {
    const { clock, mesh, self } = this.#needs
    const all = mesh.imports(this.#key).filter(({ peer }) => peer !== self)
    const failures = all.filter((seen) => seen.state === 'failed' && !this.#old.has(nameOf(seen)))
    this.#followed ||= failures.length > 0
    if (failures.length >= MAX_FAILURES) return undefined
    const alive = all.filter((seen) => (seen.state === 'fetching' || seen.state === 'waiting') && this.#isMoving(seen))
    const nearer = alive.toSorted((left, right) => (this.#distance(left.peer) < this.#distance(right.peer) ? -1 : 1))
    const fetching = nearer.find(({ state }) => state === 'fetching')
    if (fetching === undefined) this.#vacant ??= clock.now()
    else this.#vacant = undefined
    if (fetching !== undefined) return fetching
    // One whose turn it is and that does not begin is passed over, and so is each after it.
    const skipped = Math.floor((clock.now() - (this.#vacant ?? 0)) / TURN_MS)
    return nearer.filter(({ peer }) => this.#distance(peer) < this.#distance(self))[skipped]
  }

  #isMoving({ peer, serial, state, done }: SeenImport): boolean {
    const now = this.#needs.clock.now()
    const heard = this.#heard.get(peer) ?? { serial: -1, at: now, state, done, moved: now }
    this.#heard.set(peer, heard)
    if (heard.serial !== serial) Object.assign(heard, { serial, at: now })
    if (heard.done !== done || heard.state !== state) Object.assign(heard, { state, done, moved: now })
    return now - heard.at <= SILENCE_MS && (state === 'waiting' || now - heard.moved <= STILL_MS)
  }

  #distance(peer: string): string {
    return createHash('sha256').update(`${this.#key}\n${peer}`).digest('hex')
  }

  async #fetch(): Promise<AnyManifest> {
    const { clock, count, fromSource, mesh } = this.#needs
    if (this.#followed) count('imports_taken_over')
    let told = -Infinity
    let last: ImportRecord = { state: 'fetching', done: 0, total: null, digest: null }
    await this.#say(last)
    const listen: ProgressSink = (step) => {
      this.#progress(step)
      if (step.unit === 'bytes') last = { state: 'fetching', done: step.done, total: step.total, digest: null }
      if (clock.now() - told < SAY_MS) return
      told = clock.now()
      void this.#say(last)
    }
    const manifest = await this.#beating(() => last, fromSource(this.#request, listen, this.#signal))
    await mesh.announceManifest(manifest)
    await this.#say({ state: 'done', done: last.done, total: last.total, digest: manifest.digest })
    return manifest
  }

  /** Says again and again that it goes on, also where the source says nothing of how far it is. */
  async #beating<Result>(last: () => ImportRecord, work: Promise<Result>): Promise<Result> {
    const { clock } = this.#needs
    let cancel = (): void => undefined
    const beat = (): void => {
      cancel = clock.after(SILENCE_MS / 3, () => {
        void this.#say(last())
        beat()
      })
    }
    beat()
    return work.finally(() => cancel())
  }

  /** Whether others hear of it or not, this import goes on. */
  async #say(record: ImportRecord | null): Promise<void> {
    await this.#needs.mesh.publishImport(this.#key, record).catch(() => undefined)
  }
}

function nameOf({ peer, serial }: SeenImport): string {
  return `${peer} ${serial}`
}
