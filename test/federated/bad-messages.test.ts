import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { encodeState, FIRST_STATE } from '../../src/federated/index.ts'
import type { Message } from '../../src/federated/index.ts'
import { isWhole } from '../whole.ts'
import { spoilt } from './support/bad-messages.ts'
import { createFleet } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [1, 2, 3, 4].map((seed) => hospitalRows(seed, 40, seed))
const MINIMUM = { sites: 3, records: 10 }
const PLAN = { rounds: 1000, minimum: MINIMUM, deadline: '2s', local: { steps: 1, batch: 'full', lr: 0.1 } }

async function withFleet(
  init: Pick<FleetInit, 'rewrite'> & { readonly changes?: object },
  then: (fleet: Fleet) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder()
  const { changes = {}, ...rest } = init
  const fleet = await createFleet({ folder, plan: plan({ ...PLAN, ...changes }), rows: ROWS, ...rest })
  try {
    await then(fleet)
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function steps({ members }: Fleet): number[] {
  return members.map(({ standing }) => standing.current.state.done)
}

/** Everybody comes a round further, and nobody has ended. */
async function goesOn(fleet: Fleet): Promise<void> {
  const ends: unknown[] = []
  for (const { over } of fleet.members) void over.then((end) => ends.push(end))
  const from = Math.max(...steps(fleet))
  while (ends.length === 0 && Math.min(...steps(fleet)) <= from) await sleep(10)
  expect(ends).toEqual([])
}

const KINDS = ['hello', 'begin', 'advertise', 'roster', 'shares', 'ciphertexts', 'piece', 'masked', 'survivors']
const MORE = ['consistency', 'ballots', 'reveal', 'result', 'applied', 'certificate']
const WAYS = isWhole ? 12 : 2

/** Each kind is spoilt in some ways, one after the other, whoever sends it. */
async function fuzzed(kinds: readonly string[], changes: object): Promise<void> {
  const queue = Array.from({ length: WAYS }, (_, way) => kinds.map((kind) => ({ kind, way }))).flat()
  const rewrite = (from: Member, message: Message): Message | undefined => {
    if (from.standing.current.state.pooled === null) return undefined
    const next = queue[0]
    if (next?.kind !== message.kind) return undefined
    queue.shift()
    return spoilt(message, next.way)
  }
  await withFleet({ rewrite, changes }, async (fleet) => {
    while (queue.length > 0) await goesOn(fleet)
    await goesOn(fleet)
  })
}

describe('a message that is wrong', () => {
  test('of any kind, in any field, ends no honest site: the round goes on, or is made again', async () => {
    await fuzzed([...KINDS, ...MORE], {})
  }, 120_000)

  test('is no end without secure sums either', async () => {
    await fuzzed(['plain', 'result', 'applied'], { secagg: 'off' })
  }, 120_000)
})

/** A state whose head is this JSON. */
function headed(json: string): Uint8Array {
  const real = Buffer.from(encodeState(FIRST_STATE))
  const head = Buffer.from(json)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(head.length)
  return new Uint8Array(Buffer.concat([real.subarray(0, 16), length, head]))
}

const HEADS = [
  'null',
  '[]',
  '"x"',
  '{',
  '{"done":0,"pooled":null,"global":0,"arrays":null,"clip":null}',
  '{"done":0,"pooled":{"records":-1,"columns":null},"global":0,"arrays":[],"clip":null}',
  '{"done":-1,"pooled":null,"global":1e300,"arrays":[["a",-1]],"clip":"x"}',
]

describe('a state that is none', () => {
  test('in the place of a round leaves the member that is given it alive', async () => {
    const heads = [...HEADS]
    const rewrite = (_: Member, { kind }: Message): Message | undefined => {
      if (kind !== 'begin') return undefined
      const head = heads.shift()
      return head === undefined ? undefined : { kind: 'push', body: { next: 0, votes: [] }, payload: headed(head) }
    }
    await withFleet({ rewrite }, async (fleet) => {
      await goesOn(fleet)
      expect(heads).toEqual([])
    })
  })
})

describe('a member whose messages are wrong every time', () => {
  const isLast = (fleet: Fleet | undefined, from: Member): boolean => fleet?.members[3] === from

  test.each([
    ['its shares cannot be opened by anybody', 'shares'],
    ['its advertisement is of another round', 'advertise'],
    ['it votes for nonsense', 'applied'],
  ])('is named, and the others go on without it: %s', async (_, kind) => {
    let made: Fleet | undefined
    const rewrite = (from: Member, message: Message): Message | undefined => {
      if (!isLast(made, from) || message.kind !== kind) return undefined
      if (kind === 'applied') return { ...message, body: { state: null } }
      if (kind === 'advertise') {
        const entry = message.body['entry'] as object
        return { ...message, body: { entry: { ...entry, signature: new Uint8Array(64) } } }
      }
      const sealed = message.body['sealed'] as { position: number; data: Uint8Array }[]
      const noise = sealed.map(({ position, data }) => ({ position, data: data.map((byte) => byte ^ 1) }))
      return { ...message, body: { ...message.body, sealed: noise } }
    }
    await withFleet({ rewrite, changes: { rounds: 3 } }, async (fleet) => {
      made = fleet
      const honest = fleet.members.slice(0, 3)
      expect(await Promise.all(honest.map(({ over }) => over))).toEqual(['over', 'over', 'over'])
      if (kind === 'applied') return
      // Whoever aggregated names it, be it the member itself.
      const lost = fleet.members.flatMap(({ log }) => log.filter(({ event }) => event === 'member.lost'))
      const { id } = fleet.members[3]!.identity
      const about = lost.filter(({ facts }) => facts['peer'] === id || facts['about'] === id)
      expect(about.length).toBeGreaterThan(0)
      expect(about.every(({ facts }) => String(facts['code']).startsWith('WEFT-FED-'))).toBe(true)
      expect(about.every(({ facts }) => typeof facts['stage'] === 'string')).toBe(true)
    })
  })

  test('without secure sums: a contribution of another length, or of counts that nobody has', async () => {
    let made: Fleet | undefined
    let turn = 0
    const rewrite = (from: Member, message: Message): Message | undefined => {
      if (!isLast(made, from) || message.kind !== 'plain') return undefined
      const { payload } = message
      const longer = new Uint8Array(Buffer.concat([payload, Buffer.alloc(16)]))
      return { ...message, payload: turn++ % 2 === 0 ? longer : payload.fill(0) }
    }
    await withFleet({ rewrite, changes: { rounds: 3, secagg: 'off' } }, async (fleet) => {
      made = fleet
      const honest = fleet.members.slice(0, 3)
      expect(await Promise.all(honest.map(({ over }) => over))).toEqual(['over', 'over', 'over'])
      const lost = fleet.members.flatMap(({ log }) => log.filter(({ event }) => event === 'member.lost'))
      const codes = lost.map(({ facts }) => facts['code'])
      expect(codes).toContain('WEFT-FED-005')
      expect(codes).toContain('WEFT-FED-003')
    })
  })
})
