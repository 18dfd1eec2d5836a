/** What docs/security/ claims is held by a test that is named, and is there. */
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { read, repositoryFiles, ROOT } from './repository.ts'

const pages = repositoryFiles().filter((path) => /^docs\/security\/.+\.md$/.test(path))
const PROOF = /\[proof\]\(([^)\s]+) "([^"]+)"\)/g

function proofs(page: string): { page: string; path: string; title: string }[] {
  return [...read(page).matchAll(PROOF)].map((match) => ({
    page,
    path: normalize(join(dirname(page), match[1]!)),
    title: match[2]!,
  }))
}

/** In a text of the program, as titles and messages are: what a comment says holds nothing. */
function isSaid(path: string, title: string): boolean {
  const code = read(path)
    .split('\n')
    .filter((line) => !/^\s*(?:\*|\/[/*])/.test(line))
  return code.some((line) => line.includes(title) && /['"`]/.test(line.slice(0, line.indexOf(title))))
}

test('every proof names a test that is there', () => {
  const all = pages.flatMap(proofs)
  expect(all.length).toBeGreaterThan(20)
  const missing = all.filter(({ path, title }) => !existsSync(join(ROOT, path)) || !isSaid(path, title))
  expect(missing).toEqual([])
  // the control: words of the comment above are there, and are no test
  const [here, words] = ['test/house/security-docs.test.ts', ['what', 'a', 'comment', 'says'].join(' ')]
  expect(read(here)).toContain(words)
  expect(isSaid(here, words)).toBe(false)
})

test('every threat of the threat model has a proof', () => {
  const rows = read('docs/security/threat-model.md')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| asset') && !line.startsWith('| ---'))
  expect(rows.length).toBeGreaterThan(15)
  expect(rows.filter((row) => !row.includes('[proof]('))).toEqual([])
})

test('nothing is called certified, and no secrecy of prompts is claimed', () => {
  const texts = pages.map((page) => read(page).replaceAll(/\s+/g, ' '))
  for (const text of texts) {
    expect(text).not.toMatch(/(?<!not )certified/)
    expect(text).not.toMatch(/prompts? (?:are|is|stays?|remains?) (?:secret|private|hidden)/i)
  }
  expect(texts.filter((text) => text.includes('not certified')).length).toBeGreaterThan(1)
})
