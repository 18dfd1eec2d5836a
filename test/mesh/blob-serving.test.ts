import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BlobWanted } from '../../src/mesh/index.ts'
import { encodeControl, frame } from '../../src/net/index.ts'
import { CHUNK_BYTES } from '../../src/store/index.ts'
import { content, fetchInto, pump, put, three } from './support/blobs.ts'
import { createWorld } from './support/make-mesh.ts'
import type { World } from './support/make-mesh.ts'

let world: World

beforeEach(() => {
  world = createWorld()
})

afterEach(() => world.end())

describe('serving', () => {
  it('keeps to what others may have', async () => {
    const a = await world.peer({ serves: () => false })
    const c = await world.peer()
    world.hub.connectAll()
    const blob = await put(content(1, 10), a)
    await expect(pump(world, fetchInto(c, [blob], [a]))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
  })

  it('of a model that no policy lets it have the rule is told, where all holders say so', async () => {
    const refusal = (rule: string): string => `the policy of this site does not allow to fetch: rule ${rule}`
    const digest = 'a'.repeat(64)
    const serves = (_: string, wanted: BlobWanted): boolean | string => 'manifest' in wanted && refusal('no-models')
    const a = await world.peer({ serves })
    const b = await world.peer({ serves: () => false })
    const c = await world.peer()
    world.hub.connectAll()
    const blob = await put(content(1, 10), a, b)
    const asked = (...peers: readonly { readonly id: string }[]): Promise<void> =>
      c.mesh.fetchTensors(
        [blob],
        peers.map(({ id }) => id),
        { of: digest },
      )
    await expect(pump(world, asked(a))).rejects.toMatchObject({
      code: 'WEFT-TRU-072',
      details: { rule: 'no-models', site: a.id },
    })
    // One has a reason of its own: it may pass.
    await expect(pump(world, asked(a, b))).rejects.toMatchObject({ code: 'WEFT-DSC-104' })
  })

  it('ends the channel of who asks for what no weft asks for', async () => {
    const [a, , c] = await three(world)
    const wrong = [
      frame({ type: 3, request: 1, control: encodeControl({ address: '../../etc/passwd', index: 0 }) }),
      frame({ type: 3, request: 1, control: encodeControl({ address: 1, index: -1 }) }),
      frame({ type: 99, request: 1 }),
      frame({ type: 3, request: 1, control: Uint8Array.of(0xdd, 255, 255, 255, 255) }),
    ]
    for (const message of wrong) {
      const channel = await c.network.open(a.id, '/weft/blobs/1')
      channel.onFrame(() => undefined)
      await channel.send(message).catch(() => undefined)
      expect(await channel.closed).toBeInstanceOf(Error)
    }
  })

  it('tells who opens too many channels to come back, and goes on serving', async () => {
    const [a, , c] = await three(world)
    const channels = []
    for (let index = 0; index < 4; index++) {
      const channel = await c.network.open(a.id, '/weft/blobs/1')
      channel.onFrame(() => undefined)
      channels.push(channel)
    }
    const further = await c.network.open(a.id, '/weft/blobs/1')
    const answers: number[] = []
    further.onFrame((message) => void answers.push(message.type))
    await further.closed
    expect(answers).toEqual([7])
    for (const channel of channels) await channel.close()
    const blob = await put(content(1, 10), a)
    await pump(world, fetchInto(c, [blob], [a]))
  })

  it('sends no more than the client has asked for', async () => {
    const [a, , c] = await three(world)
    const blob = await put(content(1, 16 * CHUNK_BYTES), a)
    const channel = await c.network.open(a.id, '/weft/blobs/1')
    let pieces = 0
    channel.onFrame(() => void (pieces += 1))
    for (let index = 0; index < 8; index++) {
      const control = encodeControl({ address: blob.address, index })
      await channel.send(frame({ type: 3, request: index + 1, control }))
    }
    // Who does not take what it asked for is cut off, and its place is free again.
    expect(await pump(world, channel.closed, 50)).toBeInstanceOf(Error)
    expect(pieces).toBe(8)
  })
})
