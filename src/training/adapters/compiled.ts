/** Blocks in the engine: a graph for all that have the same form, forward and backward. */
import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readModel } from '../../onnx/index.ts'
import type { Model } from '../../onnx/index.ts'
import { GraphMaker } from '../graph/graph-maker.ts'
import { OUTPUT } from '../graph/names.ts'
import { pullback } from '../graph/pullback.ts'
import { sumOf } from '../graph/reductions.ts'
import { differentiate } from '../autodiff/differentiate.ts'
import { pruned } from '../graph/prune.ts'
import { openSession } from '../loop/sessions.ts'
import type { Session, SessionNeeds } from '../loop/sessions.ts'

export interface CompiledLayer {
  /** `x` to `y`. */
  readonly forward: Session
  /** `x` and `upstream` to gradients. */
  readonly backward: Session
  /** By input: the output that carries its gradient. */
  readonly gradients: ReadonlyMap<string, string>
}

/** Inputs of a head beside `x`: int64 and float32, [rows, 1] each. */
export const HEAD_INPUT = { target: 'target', weight: 'weight' } as const

export interface CompiledHead {
  /** The sum of weight times negative log-likelihood. */
  readonly loss: Session
  readonly both: Session
  /** The output that carries the gradient of `x`. */
  readonly gradient: string
}

export class Compiler {
  readonly #needs: SessionNeeds
  readonly #layers = new Map<string, Promise<CompiledLayer>>()
  readonly #open: Session[] = []

  constructor(needs: SessionNeeds) {
    this.#needs = needs
  }

  /** @param adapted names of the adapter's inputs */
  layer(graph: Uint8Array, width: number, adapted: readonly string[]): Promise<CompiledLayer> {
    const key = createHash('sha256').update(graph).digest('hex')
    const known = this.#layers.get(key)
    if (known !== undefined) return known
    const made = this.#layer(graph, key, width, adapted)
    this.#layers.set(key, made)
    return made
  }

  head(graph: Uint8Array): Promise<CompiledHead> {
    return this.#from(graph, 'head-logits', async (model) => {
      const maker = new GraphMaker(model, 'loss')
      const target = maker.input(HEAD_INPUT.target, 'int64', ['rows', 1])
      const weight = maker.input(HEAD_INPUT.weight, 'float32', ['rows', 1])
      const likelihoods = maker.op('LogSoftmax', ['logits'], { axis: -1 })
      const said = maker.op('GatherElements', [likelihoods, target], { axis: 1 })
      const loss = maker.op('Neg', [sumOf(maker, maker.op('Mul', [said, weight]))])
      maker.output(OUTPUT.loss, 'float32', [], loss)
      maker.dropOutputs(new Set(['logits']))
      const { model: both, gradients } = differentiate(maker.model(), { loss: OUTPUT.loss, wrt: ['x'] })
      return {
        loss: await this.#session('head-loss', maker.model()),
        both: await this.#session('head', pruned(both)),
        gradient: gradients.get('x')!,
      }
    })
  }

  async close(): Promise<void> {
    for (const session of this.#open.splice(0)) await session.close()
  }

  #layer(graph: Uint8Array, key: string, width: number, adapted: readonly string[]): Promise<CompiledLayer> {
    const name = `layer-${key.slice(0, 16)}`
    return this.#from(graph, name, async (model) => {
      const { model: back, gradients } = pullback(model, 'y', ['rows', width], ['x', ...adapted])
      return {
        forward: await this.#session(`${name}-forward`, model),
        backward: await this.#session(`${name}-backward`, back),
        gradients,
      }
    })
  }

  /** Constants of some size stay in the file, so it is there until the graph is in the engine. */
  async #from<Result>(graph: Uint8Array, name: string, work: (model: Model) => Promise<Result>): Promise<Result> {
    const path = join(this.#needs.folder, `${name}.onnx`)
    await writeFile(path, graph)
    try {
      return await work(await readModel(path))
    } finally {
      await rm(path, { force: true })
    }
  }

  async #session(name: string, model: Model): Promise<Session> {
    const session = await openSession(this.#needs, name, model)
    this.#open.push(session)
    return session
  }
}
