/** The programs that this room runs for others, started through its face. */
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { kernelTrial, rangeProgram } from '../../src/pipeline/index.ts'

describe('the kernel trial', () => {
  it('runs in a process of its own and measures the kernels of this machine, the first time and the second', async () => {
    for (let round = 0; round < 2; round++) {
      const { speed, kernel, bandwidth } = await kernelTrial()
      expect(bandwidth).toBeGreaterThan(1e6)
      expect(speed).toBeGreaterThan(1e6)
      expect(kernel).toBe(createOrtEngine().kernelId)
    }
  })

  it('ends when its caller gives up', async () => {
    const giveUp = new AbortController()
    const trial = kernelTrial(giveUp.signal)
    giveUp.abort()
    await expect(trial).rejects.toMatchObject({ name: 'AbortError' })
  })
})

describe('the program that measures a range', () => {
  it('is there', () => {
    expect(existsSync(rangeProgram())).toBe(true)
  })
})
