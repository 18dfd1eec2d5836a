/** The picture of an invite, read as a camera would read it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeQR } from 'qr/decode.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { decodeToken } from '../../src/trust/index.ts'
import { call } from './support.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-qr-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** Two rows of modules in a line, each as a square of pixels. */
function image(lines: readonly string[]): { width: number; height: number; data: Uint8Array } {
  const SCALE = 4
  const rows = lines.flatMap((line) => [
    Array.from(line, (mark) => mark === '█' || mark === '▀'),
    Array.from(line, (mark) => mark === '█' || mark === '▄'),
  ])
  const [width, height] = [rows[0]!.length * SCALE, rows.length * SCALE]
  const data = new Uint8Array(width * height * 4).fill(255)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isLight = rows[Math.floor(y / SCALE)]![Math.floor(x / SCALE)]!
      data.fill(isLight ? 255 : 0, (y * width + x) * 4, (y * width + x) * 4 + 3)
    }
  }
  return { width, height, data }
}

it('weft invite create --qr shows what it prints below, and fits 80 columns with two addresses', async () => {
  const home = join(directory, 'home')
  await call(['cluster', 'create', 'northwind', '--home', home])
  const addresses = ['/ip4/192.168.178.125/tcp/45678', '/ip4/10.0.13.25/tcp/45678']
  const create = ['invite', 'create', '--home', home, ...addresses.flatMap((each) => ['--address', each])]
  const { status, stdout } = await call([...create, '--qr'])
  expect(status).toBe(0)
  const lines = stdout.trimEnd().split('\n')
  const token = lines.at(-1)!
  expect(decodeToken(token).addresses).toHaveLength(2)
  const picture = lines.slice(0, -1)
  expect(picture[0]!.length).toBeLessThanOrEqual(80)
  expect(decodeQR(image(picture))).toBe(token)
  expect(await call([...create, '--qr', '--json'])).toMatchObject({ status: 2 })
})
