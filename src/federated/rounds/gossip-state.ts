/** Where a member of a gossip stands, over restarts: its own model, and the round that comes next. */
import { readSummedBytes, summedBytes } from '../../store/index.ts'
import { WeftError } from '../../errors.ts'
import { JobDamagedError } from '../plan/errors.ts'
import type { StateFiles } from './member-state.ts'
import { decodeState, encodeState, FIRST_STATE } from './state.ts'

const FILE = 'gossip.bin'

export class GossipState {
  readonly #files: StateFiles
  #step = 0
  #model: Float32Array | undefined

  private constructor(files: StateFiles) {
    this.#files = files
  }

  /** @throws JobDamagedError */
  static async open(files: StateFiles): Promise<GossipState> {
    const opened = new GossipState(files)
    const bytes = await files.read(FILE)
    if (bytes === undefined) return opened
    try {
      const { done, global } = decodeState(new Uint8Array(readSummedBytes(bytes)))
      opened.#step = done
      opened.#model = global
    } catch (error) {
      throw error instanceof WeftError ? error : new JobDamagedError(FILE, error)
    }
    return opened
  }

  /** Rounds that are behind this member. */
  get step(): number {
    return this.#step
  }

  /** Undefined: the one that all begin with. */
  get model(): Float32Array | undefined {
    return this.#model
  }

  /** Durable when it resolves. */
  async save(step: number, model: Float32Array): Promise<void> {
    await this.#files.write(FILE, summedBytes(encodeState({ ...FIRST_STATE, done: step, global: model })))
    this.#step = step
    this.#model = model
  }
}
