/** Stages, links and an origin in time that is moved by hand: what an answer takes with guesses, and what becomes of these. */
import type { Speculation } from '../../../src/pipeline/origin/speculation/speculation.ts'
import type { handClock } from './hand-clock.ts'

export interface StageWorld {
  readonly stages: number
  /** Milliseconds of a link one way; one before each stage, and one back. */
  readonly link: number
  /** Milliseconds of a run of one row at a stage, and of each row more. */
  readonly run: number
  readonly row: number
  /** From this position on rows that follow others in a window take so many times as long. @default nowhere */
  readonly slower?: { readonly from: number; readonly times: number }
  /** All stages on one core. @default each has its own */
  readonly isShared?: boolean
  /** The head takes windows behind those that are under way. @default it does */
  readonly chains?: boolean
}

interface Job {
  readonly position: number
  readonly rows: number
  readonly guesses: readonly number[]
  readonly behind: number | undefined
  busy: number
  isDropped: boolean
}

/** @param truth what the model says at a position */
export function stageWorld(
  clock: ReturnType<typeof handClock>,
  { stages, link, run, row, slower, isShared = false, chains = true }: StageWorld,
  truth: (position: number) => number,
) {
  const free = Array.from({ length: isShared ? 1 : stages }, () => 0)
  const waiting = Array.from({ length: stages }, (): Job[] => [])
  let computed = 0
  /** Position of the last token that the head has chosen. */
  let chosen = 0
  let more: () => void = () => undefined
  let arrived: (row: number, ids: readonly number[], busyMs: number) => void = () => undefined

  const answer = (job: Job): void => {
    const first = job.position + job.rows - 1 - job.guesses.length
    const holds = job.behind === undefined || (chosen === first && truth(first) === job.behind)
    if (!holds) return
    const ids: number[] = []
    for (let at = 0; at <= job.guesses.length; at++) {
      ids.push(truth(first + at + 1))
      if (job.guesses[at] !== ids.at(-1)) break
    }
    chosen = first + ids.length
    clock.after(link, () => arrived(first, ids, job.busy))
  }
  const enter = (stage: number, job: Job): void => {
    for (const other of waiting[stage]!) if (other.position >= job.position) other.isDropped = true
    waiting[stage] = waiting[stage]!.filter((other) => !other.isDropped)
    waiting[stage].push(job)
    serve(stage)
  }
  const serve = (stage: number): void => {
    const core = isShared ? 0 : stage
    const [job] = waiting[stage]!
    if (job === undefined || free[core]! > clock.now()) return
    waiting[stage]!.shift()
    const times = slower !== undefined && job.position >= slower.from ? slower.times : 1
    const spent = run + row * (job.rows - 1) * times
    job.busy += spent
    computed += job.rows
    free[core] = clock.now() + spent
    clock.after(spent, () => {
      if (stage + 1 < stages) clock.after(link, () => enter(stage + 1, job))
      else answer(job)
      for (let next = 0; next < stages; next++) serve(next)
    })
  }
  return {
    chains,
    /** Rows, by each stage. */
    computed: () => computed / stages,
    /** A small model has guessed something. */
    more: () => more(),
    onMore: (handler: () => void): void => void (more = handler),
    give: (position: number, guesses: readonly number[], behind?: number): void => {
      const job = { position, rows: guesses.length + 1, guesses, behind, busy: 0, isDropped: false }
      clock.after(link, () => enter(0, job))
    },
    onTokens: (handler: typeof arrived): void => void (arrived = handler),
  }
}

/** Gives rows and guesses as a session does, until so many tokens are there. Returns milliseconds. */
export async function answered(
  clock: ReturnType<typeof handClock>,
  world: ReturnType<typeof stageWorld>,
  speculation: Speculation,
  start: number,
  tokens: number,
): Promise<number> {
  let [end, given, isOver] = [start, start, false]
  const further = (): void => {
    for (let window = speculation.further(); window !== undefined; window = speculation.further()) {
      world.give(given, window.ids, window.behind)
      given += window.ids.length + 1
    }
  }
  world.onMore(further)
  const next = async (): Promise<void> => {
    const row = end
    if (!speculation.isUnderWay(row)) {
      const found = speculation.next(row)
      const guesses = found instanceof Promise ? await found : found
      if (guesses === undefined) return
      world.give(row, guesses)
      given = row + 1 + guesses.length
    }
    further()
  }
  world.onTokens((row, ids, busyMs) => {
    speculation.came(row, ids, { busyMs, chains: world.chains })
    end = row + ids.length
    isOver ||= end >= start + tokens - 1
    if (!isOver) void next()
  })
  await next()
  const isThere = (): boolean => isOver
  while (!isThere()) {
    clock.advance(0.5)
    await Promise.resolve()
  }
  speculation.close()
  return clock.now()
}
