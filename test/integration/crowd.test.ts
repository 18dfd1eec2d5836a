/** A hundred people at once, over real HTTP and real peers with room for a few: answered exactly, or told when to come again. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { metricsOf, valueOf } from './scraped.ts'
import { answer, counter, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const TOKENS = 8
const PROMPTS = 10
/** Of sessions that a stage has room for at once. */
const PLACES = 6
/** More than the limit for one address. */
const CROWD = 140
const MIB = 2 ** 20
const clock = systemClock()

const promptOf = (user: number): number[] => [12, 300, 45, 7].map((id) => id + (user % PROMPTS))

interface Told {
  readonly status: number
  readonly text: string
  /** Seconds; null: none was told. */
  readonly again: string | null
}

/** As OpenAI's clients do; every second one streams. */
async function ask(peer: RealPeer, user: number): Promise<Told> {
  const stream = user % 2 === 1
  const reply = await fetch(`${peer.http}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', prompt: promptOf(user), max_tokens: TOKENS, temperature: 0, stream }),
  })
  const body = await reply.text()
  const again = reply.headers.get('retry-after')
  if (!reply.ok) return { status: reply.status, text: body, again }
  if (!stream) return { status: 200, text: textOf(JSON.parse(body)), again }
  const events = body.split('\n').filter((line) => line.startsWith('data: {'))
  const last = JSON.parse(events.at(-1)!.slice(6)) as { weft?: { details?: { retry_after_s?: number } } }
  // It began to wait, in view of whoever reads, and was sent away all the same.
  const late = last.weft?.details?.retry_after_s
  if (late !== undefined) return { status: 429, text: body, again: String(late) }
  if (!body.endsWith('data: [DONE]\n\n')) return { status: 500, text: body.slice(-1_000), again: null }
  return { status: 200, text: events.map((event) => textOf(JSON.parse(event.slice(6)))).join(''), again }
}

function textOf(body: unknown): string {
  return (body as { choices: { text: string }[] }).choices.map(({ text }) => text).join('')
}

async function residentOf({ pid }: RealPeer): Promise<number> {
  return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}

describe('a hundred people at once', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer
  const expected: string[] = []
  let room = 0

  beforeAll(async () => {
    lab = await createLab()
    a = await lab.start('a', ['--http', '127.0.0.1:0', '--memory', '8MB'])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const { blocks } = (await a.access.manifest('tiny')) as ModelManifest
    const of = (field: 'kv_bytes' | 'memory', from: number, to: number): number =>
      blocks.slice(from, to).reduce((sum, block) => sum + block[field], 0)
    room = PLACES * (TOKENS + 4) * of('kv_bytes', 1, 4)
    const memory = (from: number, to: number): string =>
      String(of('memory', from, to) + PLACES * (TOKENS + 4) * of('kv_bytes', from, to))
    b = await lab.start('b', ['--memory', memory(1, 4)])
    c = await lab.start('c', ['--memory', memory(4, 7)])
    await joined([a, b, c])
    const stages = placement('tiny', [
      [a, 0, 1],
      [b, 1, 4],
      [c, 4, 7],
      [a, 7, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
    for (let user = 0; user < PROMPTS; user++) {
      const alone = await answer(
        a,
        greedy('tiny', TOKENS, { input: { kind: 'ids', ids: promptOf(user) }, ignoreEnd: false }),
      )
      expect(alone.error).toBeUndefined()
      expected.push(alone.end!.text)
    }
  }, 300_000)

  afterAll(() => lab.stop())

  /** Whoever is refused comes again when told to. @returns how often somebody was */
  const wave = async (people: number): Promise<number> => {
    let refused = 0
    const answered = Array.from({ length: people }, async (_, user) => {
      for (;;) {
        const told = await ask(a, user)
        if (told.status === 200) return expect(told.text).toBe(expected[user % PROMPTS])
        refused++
        expect(told).toMatchObject({ status: 429 })
        expect(Number(told.again)).toBeGreaterThanOrEqual(1)
        expect(Number(told.again)).toBeLessThanOrEqual(60)
        await clock.sleep(Number(told.again) * 1000)
      }
    })
    await Promise.all(answered)
    return refused
  }

  const idle = async (): Promise<void> => {
    for (const name of ['requests_running', 'requests_waiting', 'http_in_flight'])
      await until(name, async () => valueOf(await metricsOf(a), `weft_${name}`) === 0)
    for (const peer of [a, b, c]) {
      await until('no session is left', async () => valueOf(await metricsOf(peer), 'weft_sessions') === 0)
      const opened = await counter(peer, 'sessions_opened')
      await until('all are freed', async () => (await counter(peer, 'sessions_freed')) === opened)
      expect(valueOf(await metricsOf(peer), 'weft_kv_cache_bytes')).toBeLessThanOrEqual(2 * room)
    }
  }

  it('all are answered exactly, most of them after waiting for room; the second time too', async () => {
    const before = await counter(a, 'requests_completed')
    await wave(100)
    await idle()
    const queued = await counter(a, 'requests_queued')
    expect(queued).toBeGreaterThan(50)
    const resident = await Promise.all([a, b, c].map(residentOf))
    await wave(100)
    await idle()
    expect(await counter(a, 'requests_queued')).toBeGreaterThan(queued + 50)
    expect((await counter(a, 'requests_completed')) - before).toBe(200)
    for (const [index, peer] of [a, b, c].entries())
      expect((await residentOf(peer)) - resident[index]!).toBeLessThan(48 * MIB)
  }, 300_000)

  it('more than one address may be is refused with a time to come again, and answered when it comes', async () => {
    const before = await counter(a, 'requests_completed')
    expect(await wave(CROWD)).toBeGreaterThan(0)
    await idle()
    expect((await counter(a, 'requests_completed')) - before).toBe(CROWD)
  }, 300_000)

  it('people who leave while they wait leave nothing behind', async () => {
    const gone = new AbortController()
    const requests = Array.from({ length: 60 }, (_, user) =>
      fetch(`${a.http}/v1/completions`, {
        method: 'POST',
        signal: gone.signal,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'tiny', prompt: promptOf(user), max_tokens: TOKENS, weft: { resume_s: 0 } }),
      }).catch(() => undefined),
    )
    await until('some wait', async () => valueOf(await metricsOf(a), 'weft_requests_waiting') > 10)
    gone.abort()
    await Promise.all(requests)
    await idle()
    expect(await wave(PLACES)).toBe(0)
  }, 300_000)
})
