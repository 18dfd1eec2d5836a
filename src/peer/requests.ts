/** The requests that this peer takes: from prompt to events, counted, listed while they run, ended when it stops. */
import { toWeftError } from '../errors.ts'
import { firstContext, isGraphManifest } from '../models/index.ts'
import type { GraphManifest, ModelManifest } from '../models/index.ts'
import {
  CancelledError,
  COUNTED_CONTEXTS,
  generate,
  isWantOfRoom,
  openSession,
  PrefixNames,
  routeOf,
} from '../pipeline/index.ts'
import type {
  DraftModel,
  GenerateEvent,
  GenerateRequest,
  Lane,
  PlacementStage,
  RingService,
  RouteSegment,
  SessionAdapter,
  SessionRequest,
  SessionTrace,
} from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { orAbort } from '../util/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { Adapters } from './adapters.ts'
import { graphDecoder } from './decoding.ts'
import { sessionAudit } from './audit.ts'
import type { AuditDefaults } from './audit.ts'
import type { Drafts } from './drafts.ts'
import type { Decoder, DecodingNeeds } from './decoding.ts'
import { deadlineFrom } from './deadline.ts'
import { StoppingError } from './errors.ts'
import type { Replacements } from './failover.ts'
import { checkRequest } from './checked-request.ts'
import type { Library } from './library.ts'
import type { Placing } from './placing.ts'
import type { Quarantine } from './quarantine.ts'
import { codeOf, track } from './running.ts'
import type { Own, Running } from './running.ts'
import { allowedPeers, failoverOf } from './request-failover.ts'
import { promptOf } from './prompt-ids.ts'
import { RoomQueue } from './room-queue.ts'
import type { Rank } from './room-queue.ts'
import type { Site } from './site.ts'
import type { PeerEvent, RequestStatus } from './types.ts'
import type { Traces } from './traces.ts'
import { UnderWay } from './under-way.ts'

type CounterName = Parameters<Telemetry['count']>[0]

export interface RequestsNeeds {
  readonly self: string
  readonly clock: Clock
  readonly random: RandomSource
  readonly telemetry: Telemetry
  readonly ring: RingService
  readonly library: Library
  readonly adapters: Pick<Adapters, 'take'>
  readonly drafts: Pick<Drafts, 'of'>
  readonly placing: Placing
  readonly replacements: Replacements
  readonly decoding: DecodingNeeds
  readonly quarantine: Quarantine
  readonly site: Pick<Site, 'admit' | 'hasPolicy' | 'mayRoute'>
  /** What a request does that does not say. */
  readonly audit: AuditDefaults
  readonly traces: Traces
  watch(peer: string): () => void
  emit(event: PeerEvent['event'], data: PeerEvent['data']): void
}

export class Requests {
  readonly #needs: RequestsNeeds
  readonly #running = new Map<string, Running>()
  readonly underWay: UnderWay
  /** Of this life of the peer: nobody else's prefixes have the names of its own. */
  readonly #prefixSecret: Uint8Array
  readonly #room: RoomQueue
  #draining = false
  #next = 1

  constructor(needs: RequestsNeeds) {
    this.#needs = needs
    this.underWay = new UnderWay(needs.placing)
    this.#prefixSecret = needs.random.bytes(32)
    this.#room = new RoomQueue({ ...needs, isFull: isWantOfRoom })
  }

  list(): RequestStatus[] {
    return [...this.#running].map(([request, { model, state, prompt, tokens, started }]) => ({
      request,
      model,
      state,
      prompt_tokens: prompt,
      tokens,
      age_ms: Math.round(this.#needs.clock.now() - started),
    }))
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateEvent> {
    const { request: id, running, end } = this.#begin(request.model, 'waiting', signal, request.lane)
    const { abort } = running
    let outcome = 'cancelled'
    let isFault = false
    try {
      for await (const event of this.#run(request, { running, request: id }, abort.signal)) {
        track(running, event)
        if (event.type === 'end') outcome = event.finish
        this.#count(event, request.model)
        yield event.type === 'start' ? { ...event, request: id } : event
      }
    } catch (error) {
      if (!abort.signal.aborted) outcome = codeOf(error)
      isFault = outcome !== 'cancelled' && toWeftError(error).info.http >= 500
      if (outcome !== 'cancelled') this.#needs.telemetry.count('requests_failed', 1, { code: outcome })
      throw error
    } finally {
      if (outcome === 'cancelled') this.#needs.telemetry.count('cancelled_sessions')
      else running.ended?.(isFault)
      end(outcome)
    }
  }

  /** Work on named arrays, listed and ended like a text. */
  async infer<Result>(
    model: string,
    work: (signal: AbortSignal) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const { running, end } = this.#begin(model, 'running', signal)
    let outcome = 'done'
    try {
      return await work(running.abort.signal)
    } catch (error) {
      outcome = running.abort.signal.aborted ? 'cancelled' : codeOf(error)
      throw error
    } finally {
      end(outcome)
    }
  }

  /** @throws StoppingError */
  #begin(
    model: string,
    state: Running['state'],
    signal: AbortSignal | undefined,
    lane: Lane = 'interactive',
  ): Own & { readonly end: (outcome: string) => void } {
    if (this.#draining) throw new StoppingError()
    const request = `r${this.#next++}`
    const abort = new AbortController()
    const onAbort = (): void => abort.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    const running: Running = { model, started: this.#needs.clock.now(), abort, lane, state, prompt: 0, tokens: 0 }
    this.#running.set(request, running)
    this.#needs.emit('request.started', { request, model })
    const end = (outcome: string): void => {
      signal?.removeEventListener('abort', onAbort)
      this.#running.delete(request)
      this.#needs.emit('request.ended', { request, model, outcome, tokens: running.tokens })
    }
    return { request, running, end }
  }

  #count(event: GenerateEvent, model: string): void {
    const { telemetry } = this.#needs
    if (event.type === 'start') {
      telemetry.count('requests_started')
      telemetry.count('prompt_tokens', event.prompt_ids.length, { model })
    } else if (event.type === 'end') {
      telemetry.count('requests_completed')
      telemetry.count('completion_tokens', event.ids.length, { model })
    }
  }

  #traced({ request, running }: Own): (trace: SessionTrace) => void {
    const at = new Date(this.#needs.clock.wall()).toISOString()
    return (trace) => {
      const { model, prompt, tokens } = running
      this.#needs.traces.add({ request, model, at, prompt_tokens: prompt, tokens }, trace)
    }
  }

  async *#run(request: GenerateRequest, own: Own, ended: AbortSignal): AsyncGenerator<GenerateEvent> {
    const { signal, stop } = deadlineFrom(this.#needs.clock, ended, request.deadline)
    try {
      yield* this.#within(request, own, signal)
    } finally {
      stop()
    }
  }

  async *#within(request: GenerateRequest, own: Own, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    const { clock, library, telemetry } = this.#needs
    const since = clock.now()
    const manifest = await library.resolve(request.model, signal)
    const tokenizer = await library.tokenizer(manifest, signal)
    checkRequest(request, { vocabulary: tokenizer.vocabulary, isGraph: isGraphManifest(manifest) })
    const decoding = isGraphManifest(manifest)
      ? graphDecoder(this.#needs.decoding, manifest, request.placement, signal)
      : this.#decoder(manifest, request, own, signal)
    const decoder = await orAbort(decoding, signal)
    const most = COUNTED_CONTEXTS * contextOf(manifest)
    const promptIds = await promptOf(tokenizer, request, { clock, most, signal })
    // Time of steps is told after the end: what is there is of the answers before.
    const counters = (): Record<string, number> => ({ ...telemetry.counters(), step_time: 0 })
    yield* generate({ ...decoder, clock, tokenizer, counters }, { request, promptIds, signal, since })
  }

  async #decoder(manifest: ModelManifest, request: GenerateRequest, own: Own, signal: AbortSignal): Promise<Decoder> {
    const { placing, self, site, telemetry } = this.#needs
    const route = routeOf(await this.#stages(manifest, request, placing, signal), self)
    // Told before anything is opened; where it is opened it is decided again.
    for (const { peer } of route)
      if (peer !== self && !site.mayRoute(peer, manifest.model))
        site.admit({ action: 'route', peer, model: manifest.model })
    const { digest, shape } = manifest
    const traced = this.#traced(own)
    const tracked = this.underWay.track(manifest)
    const failover = failoverOf(this.#needs, manifest, request, tracked)
    const adapter = await this.#adapter(manifest, request, own)
    const audit = sessionAudit(this.#needs, manifest, request, allowedPeers(request.placement, self))
    const first = firstContext(shape)
    // Rows of one adapter are of no use to another, nor to the model without any; nor those of short texts to long ones.
    const names = (positions: number): PrefixNames =>
      new PrefixNames(this.#prefixSecret, [digest, adapter?.address ?? '', positions > first ? 'long' : ''].join('/'))
    const needs = { ...this.#needs, count: (name: CounterName, by?: number) => telemetry.count(name, by) }
    // A draft model has no place for the rows of a soft prompt.
    const canDraft = audit === undefined && adapter?.tokens === undefined
    const draft = canDraft ? await this.#draft(manifest, request, route, signal) : undefined
    const known = { digest, route, failover, audit, adapter, draft, traced }
    const opened = async (session: SessionRequest, at: readonly RouteSegment[], ended = (): void => undefined) => {
      const init = { ...known, ...session, route: at, names: names(session.positions) }
      return tracked.session(await openSession(needs, init), ended)
    }
    const wanted = { model: request.model, rank: rankOf(request), signal }
    const open: Decoder['open'] = async (session) => {
      // A text that begins anew is under way: whoever waits comes after it.
      if (session.at !== undefined) return opened(session, failover.anew(session.at))
      return this.#room.open(placeKey(digest, route), wanted, (ended) => opened(session, route, ended))
    }
    const outgrown = (): void => telemetry.count('texts_outgrown')
    return { context: shape.context, firstContext: first, virtual: adapter?.tokens ?? 0, open, outgrown }
  }

  #draft(
    manifest: ModelManifest,
    { draft, lane, speculate }: GenerateRequest,
    route: readonly RouteSegment[],
    signal: AbortSignal,
  ): Promise<DraftModel | undefined> {
    const mode = speculate ?? (lane === 'batch' ? 'off' : 'auto')
    return this.#needs.drafts.of(manifest, { draft, route, speculate: mode }, signal)
  }

  /** Where the model was asked for as `MODEL:ADAPTER`. */
  async #adapter(manifest: ModelManifest, { model }: GenerateRequest, own: Own): Promise<SessionAdapter | undefined> {
    if (model === manifest.model || model === manifest.digest) return undefined
    const { adapters, telemetry } = this.#needs
    const taken = await adapters.take(manifest, model, own.request)
    if (taken === undefined) return undefined
    own.running.ended = (isFailed) => taken.ended(isFailed)
    if (taken.adapter !== undefined) telemetry.count('adapter_sessions')
    return taken.adapter
  }

  async #stages(
    manifest: ModelManifest,
    request: GenerateRequest,
    placing: Placing,
    signal: AbortSignal,
  ): Promise<readonly PlacementStage[]> {
    const { placement } = request
    if (placement === 'local') return [{ peer: this.#needs.self, from: 0, to: manifest.blocks.length }]
    if (typeof placement !== 'object') return placing.stagesFor(manifest, signal)
    placing.check(manifest, placement.stages)
    return placement.stages
  }

  /** Takes nothing new; waits for what runs, then ends it. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true
    // Nobody waits for these: whoever asked comes again.
    for (const { abort, lane } of this.#running.values()) if (lane === 'batch') abort.abort(new StoppingError())
    const until = this.#needs.clock.now() + milliseconds
    while (this.#running.size > 0 && this.#needs.clock.now() < until) await this.#needs.clock.sleep(25)
    for (const { abort } of this.#running.values()) abort.abort(new CancelledError('the peer is stopping'))
  }
}

/** Sessions of one model over the same stages have the same room. */
function placeKey(digest: string, route: readonly RouteSegment[]): string {
  return [digest, ...route.map(({ peer, from, to }) => `${peer} ${from} ${to}`)].join('/')
}

function rankOf({ lane, priority }: GenerateRequest): Rank {
  return lane === 'batch' ? 'batch' : (priority ?? 'normal')
}

/** Tokens of prompt and answer together. */
function contextOf(manifest: ModelManifest | GraphManifest): number {
  return isGraphManifest(manifest) ? (manifest.text?.context ?? 0) : manifest.shape.context
}
