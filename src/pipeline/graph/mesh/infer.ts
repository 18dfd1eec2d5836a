/** A request over peers, as its origin: opens each part, lets units in, takes the results, closes everything. */
import type { Optimization } from '../../../onnx/index.ts'
import type { Clock, RandomSource } from '../../../util/index.ts'
import { requestNumber } from '../../origin/token-frames.ts'
import { DeadlineError } from '../../ring/errors.ts'
import { FlowRefusedError } from '../errors.ts'
import { FlowOrigin } from '../flow/origin.ts'
import type { FlowUnits } from '../flow/origin.ts'
import { stageRoutes } from '../flow/routes.ts'
import type { FlowPart, Target } from '../flow/routes.ts'
import type { KeptPair } from '../host/protocol.ts'
import type { Tensors } from '../tensors.ts'
import { FLOW, SKELETON } from './protocol.ts'
import type { FlowOpen, StageWeight } from './protocol.ts'
import type { FlowService } from './service.ts'

/** A part as its peer needs it. */
export interface MeshPart extends FlowPart {
  readonly peer: string
  /** Of the model: [from, to). */
  readonly blocks: readonly [number, number]
  readonly skeleton: Uint8Array
  readonly weights: readonly StageWeight[]
}

export interface MeshInferNeeds {
  readonly self: string
  readonly clock: Clock
  readonly flow: FlowService
  readonly random: RandomSource
  /** While watched, a peer that freezes is known within 2.5 s. */
  readonly watch: (peer: string) => () => void
}

export interface MeshInferInit {
  readonly digest: string
  readonly parts: readonly MeshPart[]
  readonly optimization: Optimization
  readonly carries: readonly KeptPair[]
  readonly units: FlowUnits
  /** Milliseconds. */
  readonly deadline: number
  readonly signal?: AbortSignal | undefined
}

export interface MeshInference {
  readonly results: readonly Tensors[]
  /** Of the process that computed each part. */
  readonly pids: readonly number[]
  readonly counters: { readonly bytes_sent: number; readonly bytes_received: number }
}

/** @throws PeerLostError, RemoteError, FlowRefusedError, the signal's reason */
export function inferOverMesh(needs: MeshInferNeeds, init: MeshInferInit): Promise<MeshInference> {
  return overMesh(needs, init, (request) => request.run())
}

/** Has each part loaded at its peer, and runs nothing. @returns the processes. @throws as `inferOverMesh` */
export function loadOverMesh(
  needs: MeshInferNeeds,
  init: Omit<MeshInferInit, 'carries' | 'units'>,
  onOpened: (parts: number) => void,
): Promise<readonly number[]> {
  const nothing = { count: 1, feeds: (): Tensors => new Map() }
  return overMesh(needs, { ...init, carries: [], units: nothing }, (request) => request.open(onOpened))
}

async function overMesh<Result>(
  needs: MeshInferNeeds,
  init: MeshInferInit,
  work: (request: MeshRequest) => Promise<Result>,
): Promise<Result> {
  init.signal?.throwIfAborted()
  const request = new MeshRequest(needs, init)
  const abort = (): void => request.fail(init.signal!.reason)
  init.signal?.addEventListener('abort', abort, { once: true })
  try {
    return await work(request)
  } finally {
    init.signal?.removeEventListener('abort', abort)
    request.end()
  }
}

class MeshRequest {
  readonly #needs: MeshInferNeeds
  readonly #init: MeshInferInit
  readonly #request: number
  readonly #origin: FlowOrigin
  readonly #pids: number[]
  readonly #opened = Promise.withResolvers<void>()
  readonly #undo: (() => void)[] = []
  #sent = 0
  #received = 0

  constructor(needs: MeshInferNeeds, init: MeshInferInit) {
    this.#needs = needs
    this.#init = init
    this.#request = requestNumber(needs.random)
    this.#pids = init.parts.map(() => 0)
    this.#opened.promise.catch(() => undefined)
    this.#origin = new FlowOrigin({
      ...init,
      feed: (part, unit, tensors) => this.#send(part, FLOW.values, unit, { origin: needs.self }, tensors),
    })
  }

  async run(): Promise<MeshInference> {
    const pids = await this.open(() => undefined)
    const results = await this.#origin.run()
    return { results, pids, counters: { bytes_sent: this.#sent, bytes_received: this.#received } }
  }

  /** @returns the process of each part, once all have it loaded */
  async open(onOpened: (parts: number) => void): Promise<readonly number[]> {
    const { flow, watch } = this.#needs
    const { parts, deadline } = this.#init
    const route = parts.map(({ peer }) => peer)
    this.#undo.push(
      flow.listen(
        this.#request,
        { digest: this.#init.digest, route },
        {
          opened: (part, pid) => {
            this.#pids[part] = pid
            const opened = this.#pids.filter((each) => each !== 0).length
            onOpened(opened)
            if (opened === this.#pids.length) this.#opened.resolve()
          },
          results: (_part, unit, tensors, bytes) => {
            this.#received += bytes
            if (!this.#origin.take(unit, tensors))
              this.fail(new FlowRefusedError('a result was not asked for', { unit }))
          },
          failed: (error) => this.fail(error),
        },
      ),
      ...[...new Set(route)].map((peer) => watch(peer)),
      this.#needs.clock.after(deadline, () => this.fail(new DeadlineError(deadline))),
    )
    for (const [part, { skeleton }] of parts.entries()) {
      const tensor = { type: 'uint8', dims: [skeleton.length], data: skeleton } as const
      this.#send(part, FLOW.open, 0, { ...openingOf(this.#init, part) }, new Map([[SKELETON, tensor]]))
    }
    await this.#opened.promise
    return this.#pids
  }

  fail(error: unknown): void {
    this.#opened.reject(error)
    this.#origin.fail(error)
  }

  end(): void {
    for (const [part, { peer }] of this.#init.parts.entries()) this.#needs.flow.close(peer, this.#request, part)
    for (const action of this.#undo) action()
  }

  #send(part: number, type: number, step: number, control: Record<string, unknown>, tensors: Tensors): void {
    const { peer } = this.#init.parts[part]!
    for (const { type: kind, data } of tensors.values()) if (kind !== 'string') this.#sent += data.byteLength
    const head = { type, request: this.#request, hop: part, step, control }
    this.#needs.flow.send(peer, head, tensors).catch((error: unknown) => this.fail(error))
  }
}

/** What the peer of a part is told of it, and of the request. */
export function openingOf(
  {
    digest,
    parts,
    carries,
    optimization,
    units,
    deadline,
  }: Omit<MeshInferInit, 'units'> & {
    readonly units: Pick<FlowUnits, 'count'>
  },
  part: number,
): FlowOpen {
  const routes = stageRoutes(parts, carries)
  const sources = parts[part]!.inputs.map(({ name, from }): [string, Target[]] => {
    const carrier = carries.find(([, input]) => input === name)?.[0]
    const producers = parts.flatMap(({ outputs }, index) =>
      outputs.some((output) => output.ofGraph && output.name === carrier) ? index : [],
    )
    return [name, from === 'graph' ? ['origin', ...producers] : [from]]
  })
  const route = parts.map(({ peer }) => peer)
  const { blocks, weights } = parts[part]!
  return {
    digest,
    blocks: [...blocks],
    route,
    routes: routes[part]!,
    sources,
    weights,
    optimization,
    units: units.count,
    deadline,
  }
}
