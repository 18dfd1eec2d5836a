/** Asynchronous rounds over real peers whose sites train by a program that waits where a test says, and the same rounds again in one process. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeNpz } from '../../src/data/index.ts'
import {
  checkFedPlan,
  JobView,
  planHash,
  readFedData,
  Site,
  SiteTrainer,
  wordsFrom,
} from '../../src/federated/index.ts'
import { addContributions } from '../../src/federated/rounds/layout.ts'
import type { Contribution } from '../../src/federated/rounds/layout.ts'
import type { RoundMath } from '../../src/federated/rounds/math.ts'
import { FIRST_STATE, NOTHING_BEGUN, stateHash } from '../../src/federated/rounds/state.ts'
import type { FedState } from '../../src/federated/rounds/state.ts'
import { tensorsOf } from '../../src/federated/site/parameters.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'

const clock = systemClock()

/** A site's program: its n-th training waits while `gate-n` is there and `open-n` is not, or while `pause` is. */
export class GatedTrainer {
  readonly command: string
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = join(folder, 'program')
    mkdirSync(this.#folder, { recursive: true })
    const path = join(this.#folder, 'train.sh')
    const text = `cd "${this.#folder}" || exit 1
n=$(ls | grep -c '^turn-')
: > turn-$n
while [ -e pause ] || { [ -e gate-$n ] && [ ! -e open-$n ]; }; do sleep 0.05; [ -e train.sh ] || exit 1; done
if [ -e update-$n.npz ]; then cp update-$n.npz "$2"; else cp update.npz "$2"; fi
`
    writeFileSync(path, text)
    this.command = `sh ${path}`
  }

  /** Trainings that began. */
  get turns(): number {
    return readdirSync(this.#folder).filter((name) => name.startsWith('turn-')).length
  }

  /** @param turn undefined: of each that has none of its own */
  async give(update: Readonly<Record<string, unknown>>, turn?: number): Promise<void> {
    const name = turn === undefined ? 'update.npz' : `update-${turn}.npz`
    await writeNpz(join(this.#folder, name), new Map(Object.entries(update)) as Parameters<typeof writeNpz>[1])
  }

  gate(turn: number): void {
    this.#mark(`gate-${turn}`)
  }

  open(turn: number): void {
    this.#mark(`open-${turn}`)
  }

  pause(): void {
    this.#mark('pause')
  }

  resume(): void {
    rmSync(join(this.#folder, 'pause'), { force: true })
  }

  get isPaused(): boolean {
    return existsSync(join(this.#folder, 'pause'))
  }

  #mark(name: string): void {
    writeFileSync(join(this.#folder, name), '')
  }
}

/** What a site adds to a round. */
export interface Part {
  readonly site: number
  /** Of each coordinate. */
  readonly update: number
  /** Models that there were when its training began. */
  readonly from: number
}

/** The rounds of a plan, one after the other, by the same sites and the same mathematics, without a network or masks. */
export class Replay {
  /** By the number of rounds before. */
  readonly states: FedState[]
  readonly #math: RoundMath
  readonly #sites: readonly Site[]

  private constructor(math: RoundMath, sites: readonly Site[], first: FedState) {
    this.#math = math
    this.#sites = sites
    this.states = [first]
  }

  /** @param data descriptions of the sites' data, in the order of their numbers */
  static async open(folder: string, plan: object, data: readonly string[]): Promise<Replay> {
    mkdirSync(folder, { recursive: true })
    const checked = checkFedPlan(plan, 'plan')
    const members = data.map((_, at) => ({ peer: `p${at}`, key: new Uint8Array(32), site: `p${at}` }))
    const { math } = new JobView({ id: 'replay', plan: checked, planHash: planHash(checked), members })
    const random = systemRandom()
    const sites: Site[] = []
    for (const path of data) {
      const needs = { clock, engine: createOrtEngine(), folder, threads: 1 }
      const trainer = await SiteTrainer.open(needs, checked, await readFedData(path))
      sites.push(
        new Site(
          trainer,
          math,
          wordsFrom((length) => random.bytes(length)),
        ),
      )
    }
    const all: Contribution[] = []
    for (const site of sites) all.push((await site.prepare(FIRST_STATE, {}, 0)).contribution)
    const sums = addContributions(all, math.shape(FIRST_STATE))
    const first = math.apply(FIRST_STATE, sums, all.length, () => NOTHING_BEGUN)
    const begun = await sites[0]!.begin(first)
    return new Replay(
      math,
      sites,
      math.apply(FIRST_STATE, sums, all.length, () => begun),
    )
  }

  /** An update whose coordinates are all this number, as a program writes it. */
  updateOf(value: number): Readonly<Record<string, unknown>> {
    const shapes = this.#sites[0]!.trainer.shapes()
    return tensorsOf(shapes, new Float32Array(this.states[0]!.global.length).fill(value))
  }

  async round(parts: readonly Part[]): Promise<void> {
    const done = this.states.length - 1
    const now = this.states[done]!
    const all: Contribution[] = []
    for (const { site: place, update, from } of parts) {
      const site = this.#sites[place]!
      site.trainer.train = ({ start }) => Promise.resolve({ weights: start.map((value) => value + update), steps: 1 })
      const prepared = await site.prepare(this.states[from]!, {}, from)
      all.push(prepared.at!(done).contribution)
    }
    const sums = addContributions(all, this.#math.shape(now))
    this.states.push(this.#math.apply(now, sums, all.length, () => NOTHING_BEGUN))
  }

  /** As a job's status has it. */
  get model(): string {
    return Buffer.from(stateHash(this.states.at(-1)!)).toString('hex')
  }

  async close(): Promise<void> {
    for (const { trainer } of this.#sites) await trainer.close()
  }
}
