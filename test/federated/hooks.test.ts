import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { decodeControl, FrameDecoder } from '../../src/net/index.ts'
import { callFederation, federatedCallSchema } from '../../src/peer/federated.ts'
import type { Federated } from '../../src/peer/federated.ts'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { createTestMesh } from './support/sites.ts'
import type { TestSite } from './support/sites.ts'

interface Line {
  readonly dir: string
  readonly peer: string
  readonly round: number | null
  readonly stage: string
  readonly bytes: string
  readonly event: Readonly<Record<string, unknown>>
}

function linesOf<T>(path: string): T[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as T)
}

test('--record keeps each message, --hold waits before one, --filter sends what a program prints instead', async () => {
  const folder = temporaryFolder()
  const mesh = createTestMesh(folder)
  const held: number[] = []
  const logged: string[] = []
  const clock = systemClock()
  const holding = {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: clock.after.bind(clock),
    sleep: (ms: number, signal?: AbortSignal) => {
      held.push(ms)
      return clock.sleep(ms, signal)
    },
  }
  try {
    const sites: TestSite[] = []
    for (const name of ['a', 'b', 'c'])
      sites.push(
        await mesh.site(name, name === 'c' ? { clock: holding, log: (_, text) => void logged.push(text) } : {}),
      )
    // As they come from the command line: through the schema of the API.
    const call = async ({ federation }: TestSite, value: unknown): Promise<Record<string, unknown>> =>
      (await callFederation({ federation } as Federated, federatedCallSchema.parse(value))) as Record<string, unknown>
    const [first] = sites
    const { job } = await call(first!, { op: 'create', plan: plan({ rounds: 1 }) })
    for (const [index, site] of sites.entries()) {
      const data = writeSite(site.home, `site-${index}`, hospitalRows(index + 1, 50))
      const test = index === 2 ? { hold: { masked: 77, training: 55 }, record: join(folder, 'kept') } : {}
      await call(site, { op: 'join', job, data, ...test })
    }
    while (first!.federation.status(String(job)).joined.length < 3) await sleep(20)
    // Whoever looks at this peer, or reads its log, sees that its rounds are no real ones; at another nothing is on.
    const on = 'a test interface of federations is on until this peer ends: hold, record'
    expect(logged.filter((text) => text.includes('test interface'))).toEqual([on])
    const shown = sites.map(({ federation }) => federation.status(String(job)).test_interface)
    expect(shown).toEqual([[], [], ['hold', 'record']])
    const seen = join(folder, 'filtered.jsonl')
    // Whoever aggregates: what it would send goes through the program, and what that prints is sent.
    const filter = `tee -a ${seen} | sed -u 's/.*/[&]/'`
    for (const { federation } of sites.slice(1)) federation.testWith({ filter })
    await call(first!, { op: 'start', job, filter })
    const isOver = (): boolean => sites.every(({ federation }) => federation.status(String(job)).state === 'finished')
    while (!isOver()) await sleep(50)

    expect(held.filter((ms) => ms === 77)).toHaveLength(2)
    // Of two sums one is trained for.
    expect(held.filter((ms) => ms === 55)).toHaveLength(1)

    const kept = linesOf<Line>(join(folder, 'kept', 'messages.jsonl'))
    const stages = (dir: string): Set<string> => new Set(kept.flatMap((line) => (line.dir === dir ? [line.stage] : [])))
    for (const stage of ['advertise', 'shares', 'piece', 'masked', 'consistency', 'reveal']) {
      expect(stages('out')).toContain(stage)
    }
    for (const stage of ['roster', 'ciphertexts', 'survivors', 'ballots', 'result'])
      expect(stages('in')).toContain(stage)
    for (const { stage, bytes, event } of kept) {
      const [frame] = [...new FrameDecoder().push(new Uint8Array(Buffer.from(bytes, 'base64')))]
      expect(decodeControl(frame!.control)).toMatchObject({ kind: stage })
      expect(Object.keys(event)).toHaveLength(1)
    }

    const filtered = linesOf<{ to: string; position: number; round: number; event: object }>(seen)
    const events = new Set(filtered.flatMap(({ event }) => Object.keys(event)))
    expect(events).toEqual(new Set(['roster', 'ciphertexts', 'survivors', 'consistency']))
    expect(new Set(filtered.map(({ to }) => to))).toEqual(new Set(sites.map(({ identity }) => identity.id)))
    expect(new Set(filtered.map(({ position }) => position))).toEqual(new Set([0, 1, 2]))
  } finally {
    await mesh.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
