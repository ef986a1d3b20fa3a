// The client of OpenAI for Node.js, through the forwarder: node openai.mjs URL
import assert from 'node:assert'
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.NODE_MODULES}/`)
const OpenAI = require('openai').default
const messages = [{ role: 'user', content: 'how many?' }]
const client = session => new OpenAI({ apiKey: 'sk', baseURL: `${process.argv[2]}/~${session}` })

const answer = await client('node').chat.completions.create({ model: 'gpt-4o-mini', messages })
assert.equal(answer.choices[0].message.content, 'three trades')

let text = ''
for await (const chunk of await client('node-stream').chat.completions.create({ model: 'gpt-4o-mini', messages, stream: true })) {
  text += chunk.choices[0].delta.content ?? ''
}
assert.equal(text, 'three trades')

await client('node-retry').chat.completions.create({ model: 'flaky', messages })

const stream = await client('node-leaves').chat.completions.create({ model: 'endless', messages, stream: true })
for await (const _ of stream) {
  stream.controller.abort()
  break
}
