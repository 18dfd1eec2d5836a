/** A small chat over /v1/chat/completions: streams, can be stopped, and says which peers worked. */
import { element } from './draw.js'

const byId = (id) => document.getElementById(id)
const messages = []
let running = null

async function loadModels() {
  const answer = await fetch('/v1/models')
  if (!answer.ok) return
  const { data } = await answer.json()
  const rank = (model) => (model.weft.covered > 0 ? 0 : model.weft.local ? 1 : 2)
  const sorted = data.toSorted((one, two) => rank(one) - rank(two))
  byId('model').replaceChildren(...sorted.map((model) => element('option', { value: model.id }, [model.id])))
}

function say(role, text) {
  const line = element('p', { class: role }, [text])
  byId('talk').append(line)
  line.scrollIntoView({ block: 'nearest' })
  return line
}

async function ask(text) {
  messages.push({ role: 'user', content: text })
  say('user', text)
  const line = say('assistant', '')
  const asked = performance.now()
  running = new AbortController()
  setBusy(true)
  let reply = ''
  let tokens = 0
  try {
    const answer = await fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: byId('model').value, messages, stream: true, temperature: 0.7, max_tokens: 512 }),
      signal: running.signal,
    })
    const route = answer.headers.get('x-weft-route') ?? ''
    if (!answer.ok) throw new Error(explain(await answer.json()))
    for await (const chunk of eventsOf(answer.body)) {
      if (chunk.error !== undefined) throw new Error(explain(chunk))
      const piece = chunk.choices[0]?.delta?.content ?? ''
      if (piece === '') continue
      reply += piece
      tokens += 1
      line.textContent = reply
      byId('talk').scrollTop = byId('talk').scrollHeight
    }
    byId('route').textContent = `${speed(tokens, performance.now() - asked)} · ${shortRoute(route)}`
  } catch (error) {
    if (error.name !== 'AbortError') line.classList.add('bad')
    line.textContent = error.name === 'AbortError' ? `${reply} (stopped)` : `${reply} ${error.message}`.trim()
  }
  if (reply === '') messages.pop()
  else messages.push({ role: 'assistant', content: reply })
  running = null
  setBusy(false)
}

function explain({ error, weft }) {
  return weft?.hint ? `${error.message}. ${weft.hint}` : error.message
}

function speed(tokens, elapsed) {
  return `${tokens} pieces in ${(elapsed / 1000).toFixed(1)} s`
}

/** The last letters of a peer's id tell peers apart; the first are alike. */
function shortRoute(route) {
  return route.replaceAll(/[^,[\]]+(?=\[)/g, (peer) => `…${peer.slice(-6)}`).replaceAll(',', ' → ')
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const parts = (rest + value).split('\n\n')
    rest = parts.pop()
    for (const part of parts) {
      if (!part.startsWith('data: ')) continue
      if (part === 'data: [DONE]') return
      yield JSON.parse(part.slice(6))
    }
  }
}

function setBusy(busy) {
  byId('send').disabled = busy
  byId('stop').hidden = !busy
}

byId('chat').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = byId('prompt').value.trim()
  if (text === '' || running !== null) return
  byId('prompt').value = ''
  void ask(text)
})
byId('prompt').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault()
    byId('chat').requestSubmit()
  }
})
byId('stop').addEventListener('click', () => running?.abort())
void loadModels()
