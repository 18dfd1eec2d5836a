/** Members that have a process each, as on machines of their own, spoken with as one. */
import { join } from 'node:path'
import { startChild } from './child.ts'
import type { Child } from './child.ts'
import type { Held, LinksJob, Lookups, MemberJob, MembersState, MemberState, Target } from './talk.ts'

export interface Linked {
  /** The fewest that one of them has. */
  readonly links: number
  /** Milliseconds until the last had them. */
  readonly after: number
}

/** The first two have a core for themselves, as on machines of their own: round trips are those between these two. */
const PAIR = 2

export class Members {
  readonly #children: Child[] = []
  readonly #targets: Target[] = []

  /** One after the other, each with the addresses of those before. */
  async start(job: Omit<MemberJob, 'home'>, homes: readonly string[]): Promise<void> {
    for (const [n, home] of homes.entries()) {
      const isOfPair = homes.length > PAIR && n < PAIR
      const child = startChild(join(import.meta.dirname, 'member.ts'), isOfPair ? 0 : 1)
      this.#children.push(child)
      const bootstrap = [...job.bootstrap, ...this.targets().map(({ address }) => address)]
      this.#targets.push(await child.ask<Target>('start', { ...job, home, bootstrap }))
    }
  }

  targets(): readonly Target[] {
    return this.#targets
  }

  async linked(job: LinksJob): Promise<Linked> {
    const all = await this.#all<Linked>('linked', job)
    return {
      links: Math.min(...all.map(({ links }) => links)),
      after: Math.max(...all.map(({ after }) => after)),
    }
  }

  /** Waits until one of them takes so many made-up peers for holders. */
  async believed(least: number): Promise<void> {
    await Promise.race(this.#children.map((child) => child.ask('believed', least)))
  }

  async watch(): Promise<void> {
    const ids = this.#targets.map(({ id }) => id)
    await Promise.all(this.#children.map((child, n) => child.ask('watch', n < PAIR ? ids.slice(0, PAIR) : ids)))
  }

  async state(): Promise<MembersState> {
    const all = await this.#all<MemberState>('state')
    const times = all.slice(0, PAIR).flatMap(({ pings }) => pings.times)
    return {
      peaks: all.map(({ peak }) => peak),
      kept: all.map(({ rss }) => rss),
      fewest: Math.min(...all.map(({ fewest }) => fewest)),
      strangers: Math.max(...all.map(({ strangers }) => strangers)),
      madeUp: Math.max(...all.map(({ madeUp }) => madeUp)),
      roundTrip: p95(times),
    }
  }

  /** Each model by each that does not hold it. */
  async look(models: readonly Held[], over: number): Promise<Lookups> {
    const alone = this.#children.length === 1
    const all = await Promise.all(
      this.#children.map((child, n) =>
        child.ask<Lookups>('look', { models: models.filter(({ holder }) => alone || holder !== n), over }),
      ),
    )
    const sum = (of: (one: Lookups) => number): number => all.reduce((total, one) => total + of(one), 0)
    return {
      asked: sum(({ asked }) => asked),
      right: sum(({ right }) => right),
      times: all.flatMap(({ times }) => times),
      wrong: all.flatMap(({ wrong }) => wrong),
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.end()))
  }

  #all<Answer>(name: string, value?: unknown): Promise<Answer[]> {
    return Promise.all(this.#children.map((child) => child.ask<Answer>(name, value)))
  }
}

/** The value that 95 % of these are at most. */
export function p95(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.ceil(0.95 * sorted.length) - 1] ?? 0
}
