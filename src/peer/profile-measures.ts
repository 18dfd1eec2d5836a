/**
 * What this device can do, measured: kernels and memory in a trial of a second, blocks in the runs that are made anyway,
 * heat and battery by looking. Measured again when something has changed: another kernel, another load.
 */
import { loadavg } from 'node:os'
import type { ModelSpeed } from '../mesh/index.ts'
import { MAX_PROFILE_MODELS } from '../mesh/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { plainKernel } from '../onnx/index.ts'
import type { BatchPoint } from '../placement/index.ts'
import type { BlockTimes, KernelTrial } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import { readMeasures, writeMeasures } from './profile-cache.ts'
import type { Measures } from './profile-cache.ts'
import { readPower } from './profile-power.ts'
import type { PowerState } from './profile-power.ts'
import { blockSize, predictBlock, USUAL_ERROR } from './profile-predict.ts'
import type { BlockPrediction } from './profile-predict.ts'

/** How often load, heat and battery are looked at: three small files. */
const LOOK_MS = 10_000
/** A trial takes a second of one core: at most once in this time, so a six-hundredth of it. */
const TRIAL_EVERY_MS = 600_000
/** One that was made while the machine was busy is made again sooner. */
const BUSY_LOAD = 1
const AFTER_BUSY_MS = 60_000
/** Processes more or fewer for each processor than when it was measured. */
const LOAD_SHIFT = 0.5
/** A block whose time has changed by so much is written down. */
const WORTH_KEEPING = 0.1
/** Fewer runs say more of the first touch of the memory than of the block. */
const ENOUGH_RUNS = 3

export interface MeasuresNeeds {
  readonly clock: Clock
  /** Where they are kept. */
  readonly directory: string
  /** Threads of a stage. */
  readonly threads: number
  readonly telemetry: Pick<Telemetry, 'count'>
  /** @throws when it could not be made */
  trial(signal: AbortSignal): Promise<KernelTrial>
  /** Nothing is computed now, so that a trial disturbs nobody and nobody disturbs it. */
  idle(): boolean
  log(fields: object, message: string): void
  /** As /sys/class. */
  readonly system: string
  /** Processes that want to run, for each processor. @default as the system says */
  load?(): number
}

interface Seen {
  /** Not kept beyond this run: of interest while routes of this run are judged. */
  readonly head: number | null
  readonly one: number | null
  readonly prefill: number | null
  readonly batch: readonly BatchPoint[]
}

export class DeviceMeasures {
  readonly #needs: MeasuresNeeds
  readonly #seen = new Map<string, Seen>()
  #trial: Measures['trial'] | null = null
  #trialAt = -Infinity
  #trying: Promise<void> | undefined
  #power: PowerState = { thermal: null, battery: null }
  #cancel: CancelTimer = () => undefined
  readonly #stop = new AbortController()
  #unsaved = false
  #isPlain = false

  constructor(needs: MeasuresNeeds) {
    this.#needs = needs
  }

  get trial(): KernelTrial | null {
    return this.#trial
  }

  get power(): PowerState {
    return this.#power
  }

  /** What is kept from before, else a trial; resolves when there is a figure, or none to be had. */
  async start(): Promise<void> {
    const kept = await readMeasures(this.#needs.directory)
    for (const { digest, ...kinds } of kept?.models ?? []) this.#seen.set(digest, { ...kinds, head: null })
    this.#trial = kept?.trial ?? null
    this.#power = await readPower(this.#needs.system)
    if (this.#trial === null) await this.#try()
    if (!this.#stopped()) this.#cancel = this.#needs.clock.after(LOOK_MS, () => this.#look())
  }

  /** A stage is loaded; its kernels may not be those that were tried: the engine is another one. */
  loaded(kernel: string): void {
    const isOther = this.#trial !== null && this.#trial.kernel !== kernel
    // Should the two go on to differ, that is no reason for one trial after the other.
    if (isOther && this.#needs.clock.now() - this.#trialAt >= TRIAL_EVERY_MS) void this.#try()
  }

  /** Whether a stage here computes with weights as they are, whose bits are not those of pre-packed ones. */
  plain(isPlain: boolean): void {
    this.#isPlain = isPlain
  }

  /** What others hold against theirs, to know whether bits are equal. Empty until the trial. */
  get kernel(): string {
    if (this.#trial === null) return ''
    return this.#isPlain ? plainKernel(this.#trial.kernel) : this.#trial.kernel
  }

  /** What a stage host has seen of its blocks. */
  seen(digest: string, times: BlockTimes): void {
    const isEnough = times.runs >= ENOUGH_RUNS && (times.one !== null || times.prefill !== null)
    // Who has the head and no block still has to know what its own part of a token takes.
    if (!isEnough && times.head === null) return
    const before = this.#seen.get(digest)
    const one = (isEnough ? times.one : null) ?? before?.one ?? null
    const prefill = (isEnough ? times.prefill : null) ?? before?.prefill ?? null
    const isOld = before !== undefined && (before.head !== null || times.head === null)
    const batch = joined(before?.batch ?? [], times.batch)
    if (isOld && !moved(before.one, one) && !moved(before.prefill, prefill) && !hasBent(before.batch, batch)) return
    this.#needs.telemetry.count('measurements', 1, { what: 'blocks' })
    this.#seen.delete(digest)
    this.#seen.set(digest, { one, prefill, batch, head: times.head ?? before?.head ?? null })
    const [oldest] = this.#seen.keys()
    if (this.#seen.size > MAX_PROFILE_MODELS && oldest !== undefined) this.#seen.delete(oldest)
    this.#unsaved = true
  }

  /** Of these models, those that have decoder blocks; nothing before the trial. */
  speeds(manifests: readonly AnyManifest[]): ModelSpeed[] {
    const known = manifests.flatMap((manifest) => {
      const prediction = this.#predict(manifest)
      return prediction === null ? [] : [{ digest: manifest.digest, prediction }]
    })
    const error = errorOf(known.map((one) => ({ prediction: one.prediction, seen: this.#seen.get(one.digest) })))
    return known.slice(-MAX_PROFILE_MODELS).map(({ digest, prediction }) => ({
      digest,
      block_ms: rounded(this.#seen.get(digest)?.one ?? null),
      prefill_ms: rounded(this.#seen.get(digest)?.prefill ?? null),
      predicted_block_ms: rounded(prediction.one)!,
      predicted_prefill_ms: rounded(prediction.prefill)!,
      error: rounded(error)!,
      ...batchOf(this.#seen.get(digest)),
    }))
  }

  /** Milliseconds of a block for one row, and of the head, here; null until they were seen. */
  own(digest: string): { readonly block: number | null; readonly head: number | null } | null {
    const seen = this.#seen.get(digest)
    return seen === undefined ? null : { block: seen.one, head: seen.head }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#cancel()
    await this.#save()
  }

  #stopped(): boolean {
    return this.#stop.signal.aborted
  }

  #predict(manifest: AnyManifest): BlockPrediction | null {
    const size = blockSize(manifest)
    if (size === null || this.#trial === null) return null
    const { speed, bandwidth } = this.#trial
    return predictBlock(size, { speed, bandwidth, threads: this.#needs.threads })
  }

  #look(): void {
    void this.#check()
      .catch((error: unknown) => this.#needs.log({ err: error }, 'what was measured of this device could not be kept'))
      .then(() => {
        if (!this.#stopped()) this.#cancel = this.#needs.clock.after(LOOK_MS, () => this.#look())
      })
  }

  async #check(): Promise<void> {
    this.#power = await readPower(this.#needs.system)
    const shift = this.#trial === null ? Infinity : Math.abs(this.#load() - this.#trial.load)
    const pause = this.#trial !== null && this.#trial.load > BUSY_LOAD ? AFTER_BUSY_MS : TRIAL_EVERY_MS
    const due = this.#needs.clock.now() - this.#trialAt >= pause
    if (shift > LOAD_SHIFT && due && this.#needs.idle()) await this.#try()
    await this.#save()
  }

  #load(): number {
    if (this.#needs.load !== undefined) return this.#needs.load()
    return (loadavg()[0] ?? 0) / Math.max(1, this.#needs.threads)
  }

  #try(): Promise<void> {
    this.#trying ??= this.#tryOnce().finally(() => (this.#trying = undefined))
    return this.#trying
  }

  async #tryOnce(): Promise<void> {
    this.#trialAt = this.#needs.clock.now()
    const load = this.#load()
    try {
      this.#trial = { ...(await this.#needs.trial(this.#stop.signal)), load }
      this.#needs.telemetry.count('measurements', 1, { what: 'kernel' })
      this.#unsaved = true
      await this.#save()
    } catch (error) {
      if (!this.#stopped()) this.#needs.log({ err: error }, 'the trial of kernels and memory could not be made')
    }
  }

  async #save(): Promise<void> {
    if (!this.#unsaved || this.#trial === null) return
    this.#unsaved = false
    const models = [...this.#seen].map(([digest, { one, prefill, batch }]) => ({
      digest,
      one,
      prefill,
      batch: [...batch],
    }))
    await writeMeasures(this.#needs.directory, { trial: this.#trial, models })
  }
}

/** The largest share by which the predictions of this device were off, with half of it more for the next model. */
function errorOf(models: readonly { readonly prediction: BlockPrediction; readonly seen: Seen | undefined }[]): number {
  const errors = models.flatMap(({ prediction, seen }) => [
    ...offBy(prediction.one, seen?.one ?? null),
    ...offBy(prediction.prefill, seen?.prefill ?? null),
  ])
  return errors.length === 0 ? USUAL_ERROR : 1.5 * Math.max(...errors)
}

function offBy(predicted: number, real: number | null): number[] {
  return real === null || real === 0 ? [] : [Math.abs(predicted - real) / real]
}

function moved(before: number | null, now: number | null): boolean {
  if (before === null || now === null) return before !== now
  return Math.abs(now - before) > WORTH_KEEPING * before
}

/** Sizes that were not seen again are as they were. */
function joined(before: readonly BatchPoint[], now: readonly BatchPoint[]): readonly BatchPoint[] {
  const all = new Map([...before, ...now].map((point) => [point.rows, point]))
  return [...all.values()].sort((one, other) => one.rows - other.rows)
}

function hasBent(before: readonly BatchPoint[], now: readonly BatchPoint[]): boolean {
  return now.some(({ rows, factor }) => moved(before.find((point) => point.rows === rows)?.factor ?? null, factor))
}

function batchOf(seen: Seen | undefined): Pick<ModelSpeed, 'batch'> {
  if (seen === undefined || seen.batch.length === 0) return {}
  return { batch: seen.batch.map(({ rows, factor }) => ({ rows, factor: rounded(factor)! })) }
}

/** Three digits: more would be noise, and a new record for each. */
function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(3))
}
