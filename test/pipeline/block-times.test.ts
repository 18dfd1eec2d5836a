/** What a stage host says of its blocks: medians of the last runs, apart for rows alone and rows of a prompt. */
import { describe, expect, it } from 'vitest'
import { BlockMeter } from '../../src/pipeline/host/block-times.ts'

describe('a block meter', () => {
  it('knows nothing before a run', () => {
    expect(new BlockMeter().times()).toEqual({ one: null, prefill: null, head: null, runs: 0 })
  })

  it('divides a run by its blocks and rows, and takes the median, so that one slow run is not seen', () => {
    const meter = new BlockMeter()
    for (const ms of [10, 12, 900]) meter.decoded(10, 1, 1, ms)
    meter.decoded(10, 1, 128, 256)
    for (const ms of [3, 2, 4]) meter.projected(1, ms)
    expect(meter.times()).toEqual({ one: 1.2, prefill: 0.2, head: 3, runs: 4 })
  })

  it('leaves out runs that are neither: batches, short chunks, embeddings, heads of several', () => {
    const meter = new BlockMeter()
    meter.decoded(10, 4, 4, 100)
    meter.decoded(10, 2, 64, 100)
    meter.decoded(10, 1, 5, 100)
    meter.decoded(0, 1, 1, 100)
    meter.projected(4, 100)
    expect(meter.times()).toEqual({ one: null, prefill: null, head: null, runs: 3 })
  })

  it('follows a change of load within its window', () => {
    const meter = new BlockMeter()
    for (let run = 0; run < 100; run++) meter.decoded(1, 1, 1, 1)
    for (let run = 0; run < 16; run++) meter.decoded(1, 1, 1, 5)
    expect(meter.times().one).toBe(5)
  })
})
