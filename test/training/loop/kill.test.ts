/** `weft train` as a process of its own: killed at any moment, it goes on to the same bits. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { call, json, weft } from '../../cli/support.ts'
import { temporaryFolder, train, writeClouds } from './support.ts'

test('a run that was killed goes on to the bits of one that was not', async () => {
  await using folder = await temporaryFolder()
  const plan = await writeClouds(folder, { checkpoint: { every_steps: 3 }, epochs: 40, threads: 1 })
  const out = folder.at('killed')
  const args = ['train', plan, '--out', out, '--quiet']
  const first = weft(args, {
    started: (child) => {
      void (async () => {
        const checkpoints = async (): Promise<string[]> =>
          (await readdir(out).catch(() => [])).filter((name) => name.startsWith('checkpoint'))
        while ((await checkpoints()).length < 2) await setTimeout(5)
        child.kill('SIGKILL')
      })()
    },
  })
  expect(await first).toMatchObject({ signal: 'SIGKILL' })
  expect(await readdir(out)).not.toContain('result.json')
  // What a process that is gone was writing.
  await writeFile(`${out}/.weft-2147483647-0-1-arrays.tmp`, 'half')
  const second = await weft([...args, '--resume', '--json'])
  expect(second).toMatchObject({ status: 0, stderr: '' })
  expect(json(second.stdout)).toMatchObject({ schema: 'weft.train-result/1', steps: 240, folder: out })
  expect((await readdir(out)).filter((name) => name.endsWith('.tmp') || name === 'work')).toEqual([])
  await train(folder, plan)
  const read = (path: string): Promise<Buffer> => readFile(folder.at(path))
  expect((await read('killed/model.onnx')).equals(await read('run/model.onnx'))).toBe(true)
  expect((await read('killed/curve.json')).equals(await read('run/curve.json'))).toBe(true)
})

test('the command line says in one line what is wrong, and what it has done', async () => {
  await using folder = await temporaryFolder()
  const plan = await writeClouds(folder, { epoch: 3 })
  const refused = await call(['train', plan, '--out', folder.at('run')])
  expect(refused).toMatchObject({ status: 2, stdout: '' })
  expect(refused.stderr).toContain('WEFT-INF-121')
  expect(refused.stderr).toContain('did you mean "epochs"?')
  const good = await call(['train', await writeClouds(folder), '--out', folder.at('run')])
  expect(good.stdout).toMatch(/^49 parameters, 4 epochs, 24 steps\nPART +EXAMPLES +LOSS/)
  expect(good.stderr).toContain('of 24 steps')
  const evaluated = await call(['eval', folder.at('run'), '--json'])
  expect(json(evaluated.stdout)).toMatchObject({ schema: 'weft.evaluation/1', part: 'test', examples: 32 })
})
