/** JPEG images in folders of classes: pixels as Pillow 12 reads the same files, and hostile ones. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listClasses, readImages, TableMalformedError } from '../../src/data/index.ts'
import { createSeeded } from '../../src/data/index.ts'
import { decodeJpeg } from '../../src/data/images/jpeg.ts'

/** 17 x 11 pixels of red 15 x, green 22 y and blue 9 (x + y), at most 255; written by Pillow. */
const PROGRESSIVE = Buffer.from(
  [
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFB',
    'QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wgARCAALABEDASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABgcA/8QAFgEBAQEAAAAAAAAAAAAAAAAABQMH',
    '/9oADAMBAAIQAxAAAAGXu27uRku1yy+mf//EABoQAAIDAQEAAAAAAAAAAAAAAAAEAgMFExb/2gAIAQEAAQUCTwBPAPPidMBOiBwgf//EABkRAAIDAQAAAAAAAAAAAAAAAAADBQYWIf/aAAgBAwEBPw',
    'GAsL+Ghef/xAAXEQADAQAAAAAAAAAAAAAAAAAAAgQU/9oACAECAQE/AZqWNLH/xAAXEAADAQAAAAAAAAAAAAAAAAAAATIi/9oACAEBAAY/ApJJFkWUSj//xAAaEAACAgMAAAAAAAAAAAAAAAAAMRDB',
    'EUHw/9oACAEBAAE/IV0F0OMGuzU3/9oADAMBAAIAAwAAABAI3//EABYRAQEBAAAAAAAAAAAAAAAAAABRcf/aAAgBAwEBPxCq2f/EABURAQEAAAAAAAAAAAAAAAAAABAh/9oACAECAQE/EIi//8QAFx',
    'ABAQEBAAAAAAAAAAAAAAAAANEQ8f/aAAgBAQABPxDXOURQhxH/2Q==',
  ].join(''),
  'base64',
)
/** The same in grey. */
const GREY = Buffer.from(
  [
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkKCgr/wAALCAALABEBAREA/8QAFQABAQAAAA',
    'AAAAAAAAAAAAAABwj/xAAkEAAABAUDBQAAAAAAAAAAAAAAAQMGBwgjJUEWQ1EYVWWRo//aAAgBAQAAPwCD4NyAnSsvG2Kxg3ICdKycbYY+gDwnzCDBpktSlYkMYMVlBpkNMySsSGMGGTRDT7Eh6Mf/',
    '2Q==',
  ].join(''),
  'base64',
)
/** The same in four colours. */
const CMYK = Buffer.from(
  [
    '/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAIBgYHBgUIBwcHCQkICgwUDQwLCwwZEhMPFB0aHx4dGhwcICQuJyAiLCMcHCg3KSwwMTQ0NB8nOT04MjwuMzQy/8AAFAgACwARBEMRAE0RAFkRAEsRAP/EAB',
    '8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZH',
    'SElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASw',
    'AAPwDzPwj/AMs64z/hXn/TH9K8+0TRPu/LXv8AXvPhH/lnR/wrz/pj+lekaJon3flor0Oj/hXn/TH9K6n+xP8AZor5D8I/8s6+h/sNr/zwWuF0SGP5fkFFe8+Ef+WdH2G1/wCeC16RokMfy/IKK9Do',
    '+w2v/PBa6nyY/wC4KK//2Q==',
  ].join(''),
  'base64',
)
/** Each third pixel of each third row, as Pillow reads it. */
const GREY_PIXELS = [
  0, 16, 33, 50, 67, 83, 41, 57, 74, 91, 108, 124, 84, 100, 117, 134, 150, 167, 125, 142, 158, 175, 192, 208,
]

let folder: string
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'weft-jpeg-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function put(name: string, bytes: Uint8Array): void {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), bytes)
}

describe('JPEG images', () => {
  test('are read where they are grey, and as stored', async () => {
    put('grey/a/1.jpg', GREY)
    const { dims, data } = await readImages(await listClasses(join(folder, 'grey'), /\.jpg$/))
    expect(dims).toEqual([1, 1, 11, 17])
    const some = [0, 3, 6, 9].flatMap((y) => [0, 3, 6, 9, 12, 15].map((x) => data[17 * y + x] as number))
    for (const [at, value] of some.entries()) expect(Math.abs(value - GREY_PIXELS[at]!)).toBeLessThanOrEqual(1)
  })

  test('and where they are progressive, with colours of half the size, as planes', async () => {
    put('colour/a/1.jpeg', PROGRESSIVE)
    const { dims, data } = await readImages(await listClasses(join(folder, 'colour'), /\.jpeg$/))
    expect(dims).toEqual([1, 3, 11, 17])
    const wanted = (plane: number, x: number, y: number): number => Math.min(255, [15 * x, 22 * y, 9 * (x + y)][plane]!)
    let off = 0
    for (let plane = 0; plane < 3; plane++)
      for (let y = 0; y < 11; y++)
        for (let x = 0; x < 17; x++) off += Math.abs((data[187 * plane + 17 * y + x] as number) - wanted(plane, x, y))
    expect(off / 561).toBeLessThan(8)
  })

  test('of four colours, larger than is read, or of nothing but a header are refused with a reason', () => {
    const sized = Buffer.from(GREY)
    // Height and width stand behind the marker of the frame, its length and its depth.
    sized.fill(0xff, sized.indexOf(Buffer.from([0xff, 0xc0])) + 5, sized.indexOf(Buffer.from([0xff, 0xc0])) + 9)
    expect(() => decodeJpeg(CMYK, 'f.jpg')).toThrow('f.jpg cannot be read: it has 4 channels of 8 bits')
    expect(() => decodeJpeg(sized, 'f.jpg')).toThrow('it has 65535 x 65535 pixels')
    expect(() => decodeJpeg(GREY.subarray(0, 20), 'f.jpg')).toThrow('without a header, or cut off')
    expect(() => decodeJpeg(GREY.subarray(0, -9), 'f.jpg')).toThrow('its pixels do not unpack')
  })

  test('that are cut off anywhere, or damaged, are read or refused, and nothing else', () => {
    for (const whole of [GREY, PROGRESSIVE]) {
      for (let length = 3; length < whole.length; length++)
        expect(() => decodeJpeg(whole.subarray(0, length), 'f')).toThrow(TableMalformedError)
      const seeded = createSeeded(7)
      let refused = 0
      for (let run = 0; run < 300; run++) {
        const bytes = Buffer.from(whole)
        for (let byte = 0; byte < 3; byte++) bytes[2 + seeded.below(bytes.length - 2)] = seeded.below(256)
        try {
          expect(decodeJpeg(bytes, 'f').data.length).toBeGreaterThan(0)
        } catch (error) {
          expect(error).toBeInstanceOf(TableMalformedError)
          refused++
        }
      }
      expect(refused).toBeGreaterThan(30)
    }
  })
})
