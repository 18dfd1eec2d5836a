import { rmSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkData, checkFedPlan, pipeOver } from '../../src/federated/index.ts'
import { checkSize } from '../../src/federated/rounds/sizes.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { channelPair } from './support/sites.ts'

const clock = systemClock()

describe('a message that is larger than a frame', () => {
  test('arrives whole, with nothing of another message in it', async () => {
    const [left, right] = channelPair('left', 'right')
    const [sender, receiver] = [pipeOver(clock, left), pipeOver(clock, right)]
    const payload = new Uint8Array(70 << 20)
    for (let at = 0; at < payload.length; at += 4093) payload[at] = at & 255
    const sent = Promise.all([
      sender.send('push', { next: 1 }, payload),
      sender.send('wait', { why: '', peers: [] }),
      sender.send('piece', {}, Uint8Array.of(1, 2, 3)),
    ])
    const first = await receiver.next(20_000)
    expect(first.kind).toBe('push')
    expect(Buffer.compare(first.payload, payload)).toBe(0)
    expect(await receiver.next(1000)).toMatchObject({ kind: 'wait', payload: new Uint8Array() })
    expect(await receiver.next(1000)).toMatchObject({ kind: 'piece', payload: Uint8Array.of(1, 2, 3) })
    await sent
  })

  test('is refused where it is sent, and ends the channel of who would fill the memory with it', async () => {
    const [left, right] = channelPair('left', 'right')
    const [sender, receiver] = [pipeOver(clock, left), pipeOver(clock, right, 1 << 20)]
    await expect(receiver.send('push', {}, new Uint8Array(2 << 20))).rejects.toMatchObject({ code: 'WEFT-FED-069' })
    for (let part = 0; part < 9; part++) await sender.send('part', {}, new Uint8Array(1 << 17))
    await expect(receiver.next(5000)).rejects.toThrow('too much waits to be read')
  })
})

describe('a plan whose model', () => {
  let folder: string
  beforeEach(() => (folder = temporaryFolder()))
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('is too large for a message is refused with its size', () => {
    const checked = checkFedPlan(plan(), 'plan')
    expect(() => checkSize(checked, 100_000_000)).not.toThrow()
    expect(() => checkSize(checked, 200_000_000)).toThrow(/801048576 bytes/)
    expect(() => checkSize(checkFedPlan(plan({ strategy: { name: 'fedadam' } }), 'plan'), 100_000_000)).toThrow(
      /2001048576 bytes, and 536870912 are the most/,
    )
  })

  test('is built when a site looks at its data: its parameters are known before anybody says yes', async () => {
    const data = writeSite(folder, 'a', hospitalRows(1, 40))
    const needs = { clock, engine: createOrtEngine() }
    const found = await checkData(needs, folder, checkFedPlan(plan({ model: { kind: 'linear' } }), 'plan'), data)
    expect(found.parameters).toBe(8)
  })

  test.each(['cnn', 'gru', 'two-towers', 'decoder', 'base'])('is %s is refused with what there is', (kind) => {
    const fields = { gru: { hidden: 4 }, 'two-towers': { factors: 2 }, decoder: { layers: 1, width: 8, heads: 2 } }
    const model = { kind, ...(fields as Record<string, object>)[kind], ...(kind === 'base' ? { name: 'small' } : {}) }
    expect(() => checkFedPlan(plan({ model }), 'plan')).toThrow(/"model.kind" "[a-z-]+" is not trained .* linear, mlp/)
  })

  test('is a file is refused without its hash: each site holds it by that', () => {
    expect(() => checkFedPlan(plan({ model: { kind: 'onnx', path: 'x.onnx' } }), 'plan')).toThrow('model.digest')
  })

  test('has ids is refused: each site would number them in its own way', () => {
    const features = [{ column: 'age', ids: true }]
    expect(() => checkFedPlan(plan({ features }), 'plan')).toThrow('features.0.ids')
  })
})
