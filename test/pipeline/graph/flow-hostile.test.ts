/** A member of the mesh that speaks the flow of graphs badly, over a real connection. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../../src/net/index.ts'
import type { Channel, Network } from '../../../src/net/index.ts'
import { FLOW, FLOW_PROTOCOL, SKELETON } from '../../../src/pipeline/graph/mesh/protocol.ts'
import { FlowService } from '../../../src/pipeline/graph/mesh/service.ts'
import type { LentHost } from '../../../src/pipeline/graph/mesh/service.ts'
import { messageFrames } from '../../../src/pipeline/graph/messages.ts'
import { systemClock } from '../../../src/util/index.ts'
import { joined, networkPool, until } from '../../net/helpers.ts'

const pool = networkPool()
const REQUEST = 7

let honest: Network
let bad: Network
let channel: Channel
let service: FlowService
let counted: Map<string, number>
/** Parts that the service has asked its table to open, and how to refuse them. */
let opening: PromiseWithResolvers<LentHost>[]

beforeEach(async () => {
  honest = await pool.add({})
  bad = await pool.add({ bootstrap: [honest.addresses()[0]!] })
  counted = new Map()
  opening = []
  service = new FlowService({
    self: honest.id,
    network: honest,
    clock: systemClock(),
    stages: {
      open: () => {
        const part = Promise.withResolvers<LentHost>()
        opening.push(part)
        return part.promise
      },
    },
    count: (name, by = 1) => void counted.set(name, (counted.get(name) ?? 0) + by),
  })
  await joined(honest, bad)
  channel = await bad.open(honest.id, FLOW_PROTOCOL)
})
afterEach(async () => {
  await service.stop()
  await pool.stopAll()
})

/** What the origin of a request over the bad peer hears. */
function heard(): { readonly failures: Error[]; readonly pids: number[] } {
  const [failures, pids]: [Error[], number[]] = [[], []]
  service.listen(
    REQUEST,
    { digest: '', route: [bad.id] },
    {
      opened: (_part, pid) => pids.push(pid),
      results: () => undefined,
      failed: (error) => failures.push(error),
    },
  )
  return { failures, pids }
}

describe('a bad peer', () => {
  it.each([
    ['a failure that is no error', FLOW.error, null],
    ['a failure without its message', FLOW.error, { code: 'WEFT-INF-020' }],
    ['a part that is open in no process', FLOW.opened, { pid: 'many', tensors: [] }],
  ])('with %s loses its channel, and its request fails with a code', async (_, type, control) => {
    const { failures, pids } = heard()
    await channel.send(frame({ type, request: REQUEST, control: encodeControl(control) }))
    await channel.closed
    await until(() => failures.length > 0)
    expect(failures[0]).toMatchObject({ code: 'WEFT-INF-030' })
    expect(pids).toEqual([])
  })

  it('is believed when it says well what has failed', async () => {
    const { failures } = heard()
    const error = { code: 'WEFT-INF-020', message: 'no memory', why: null, hint: null, details: {} }
    await channel.send(frame({ type: FLOW.error, request: REQUEST, control: encodeControl(error) }))
    await until(() => failures.length > 0)
    expect(failures[0]).toMatchObject({ code: 'WEFT-INF-020', details: { peer: bad.id } })
  })

  const open = async (): Promise<void> => {
    const control = {
      digest: 'a'.repeat(64),
      blocks: [0, 1],
      route: [honest.id],
      routes: { first: [], later: [], sends: [], last: [], kept: [] },
      sources: [],
      weights: [],
      optimization: 'off',
      units: 1,
      deadline: 60_000,
    }
    const tensors = new Map([[SKELETON, { type: 'uint8', dims: [1], data: Uint8Array.of(1) } as const]])
    for (const part of messageFrames({ type: FLOW.open, request: REQUEST, control }, tensors)) await channel.send(part)
  }

  it('that goes while its part is opened leaves nothing', async () => {
    const { failures } = heard()
    await open()
    await until(() => opening.length === 1)
    await channel.close()
    await until(() => failures.length > 0)
    const done = Promise.withResolvers<void>()
    opening[0]!.resolve({ host: {} as LentHost['host'], done: () => done.resolve() })
    await done.promise
    expect(counted.get('parts_opened')).toBeUndefined()
  })

  it('that opens a part twice has one', async () => {
    await open()
    await open()
    await until(() => counted.get('frames_refused') === 1)
    expect(opening).toHaveLength(1)
    // The first is still being opened: its close must find it.
    await channel.send(frame({ type: FLOW.close, request: REQUEST }))
    // Frames keep their order: when this one has been refused, the close has come.
    await open()
    await until(() => counted.get('frames_refused') === 2)
    const done = Promise.withResolvers<void>()
    opening[0]!.resolve({ host: {} as LentHost['host'], done: () => done.resolve() })
    await done.promise
    expect(counted.get('parts_opened')).toBeUndefined()
  })
})
