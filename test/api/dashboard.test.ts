import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { start } from './support.ts'
import type { Running } from './support.ts'

const FOLDER = join(import.meta.dirname, '../../src/api/dashboard')
const sources = new Map(readdirSync(FOLDER).map((name) => [name, readFileSync(join(FOLDER, name), 'utf8')]))

describe('the status page', () => {
  let running: Running
  beforeAll(async () => {
    running = await start()
  })
  afterAll(() => running.api.close())

  test('is served with a policy that allows nothing from elsewhere and nothing inline', async () => {
    const answer = await fetch(running.url)
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|\*|https?:/)
  })

  test('every file that it names is served with its type, and every file of the folder is named', async () => {
    const named = new Set<string>(['/'])
    for (const text of sources.values()) {
      for (const match of text.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)) named.add(match[1] ?? '')
      for (const match of text.matchAll(/from '\.\/([^']+)'/g)) named.add(`/dashboard/${match[1] ?? ''}`)
    }
    expect(named.size).toBe(sources.size)
    for (const path of named) {
      const answer = await fetch(`${running.url}${path}`)
      expect(answer.status, path).toBe(200)
      expect(answer.headers.get('content-type'), path).toMatch(/html|css|javascript|svg/)
      expect((await answer.text()).length, path).toBeGreaterThan(100)
    }
  })

  test('reaches for no other host, has nothing inline, and never sets markup from data', () => {
    for (const [name, text] of sources) {
      expect(text.replace('http://www.w3.org/2000/svg', ''), name).not.toMatch(/https?:\/\/|@import|url\(/)
      if (name.endsWith('.html')) expect(text).not.toMatch(/ style=| on\w+=|<style|<script(?![^>]*src=)/)
      if (name.endsWith('.js'))
        expect(text, name).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/)
    }
  })

  test('every element that the scripts look up exists', () => {
    const html = sources.get('index.html') ?? ''
    const scripts = [...sources].filter(([name]) => name.endsWith('.js')).map(([, text]) => text)
    for (const match of scripts.join('\n').matchAll(/byId\('([^']+)'\)/g))
      expect(html, match[1]).toContain(`id="${match[1] ?? ''}"`)
  })
})
