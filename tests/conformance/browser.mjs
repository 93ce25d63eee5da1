// Opens the dashboard in a real browser, and speaks the protocol from within its page.
//
//   node browser.mjs MODULES CHROMIUM URL TOKEN SCREENSHOT
//
// The last line is `N passed, N failed`.
import { createRequire } from 'node:module';

const [modules, executablePath, url, token, screenshot] = process.argv.slice(2);
const { chromium } = createRequire(modules + '/')('playwright-core');

let passed = 0;
let failed = 0;
async function check(what, test) {
  try {
    await test();
    passed += 1;
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${what}: ${error.message}`);
  }
}

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-dev-shm-usage'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(10_000);
const complaints = [];
page.on('pageerror', (error) => complaints.push(String(error)));
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
const elsewhere = [];
page.on('request', (request) => request.url().startsWith(url) || request.url().startsWith('data:') || elsewhere.push(request.url()));

try {
  await check('the dashboard loads', async () => {
    const answer = await page.goto(url + '/', { waitUntil: 'load' });
    if (answer.status() !== 200) throw new Error(`status ${answer.status()}`);
    if (!(await page.title())) throw new Error('it has no title');
  });
  await check('the status changes by itself', async () => {
    const before = await page.innerText('body');
    await page.waitForFunction((text) => document.body.innerText !== text, before);
  });
  const answer = await page.evaluate(
    ([address, token]) =>
      new Promise((resolve) => {
        const socket = new WebSocket(address, ['hydrogen-protocol', `key.${token}`]);
        const seen = { messages: [] };
        const finish = (why) => resolve({ ...seen, why });
        setTimeout(() => finish('no event in time'), 8000);
        const send = (id, action, data) =>
          socket.send(JSON.stringify({ type: 'command', id, channel: 'system', action, data }));
        socket.onerror = () => finish('the socket failed');
        socket.onclose = (event) => finish(`closed with ${event.code}`);
        socket.onopen = () => {
          seen.protocol = socket.protocol;
          send('sub', 'subscribe', { topics: ['browser.*'] });
        };
        socket.onmessage = (event) => {
          const message = JSON.parse(event.data);
          seen.messages.push(message);
          if (message.id === 'sub') send('pub', 'publish', { topic: 'browser.hello', payload: { text: 'grüße 😀' } });
          if (message.type === 'event' && message.channel === 'browser') {
            seen.event = message;
            socket.onclose = (event) => {
              seen.code = event.code;
              seen.clean = event.wasClean;
              finish(null);
            };
            socket.close(1000);
          }
        };
      }),
    [url.replace(/^http/, 'ws') + '/', token],
  );
  await check('the page speaks the protocol', async () => {
    if (answer.why) throw new Error(`${answer.why}; ${JSON.stringify(answer.messages)}`);
    if (answer.protocol !== 'hydrogen-protocol') throw new Error(`the subprotocol is ${answer.protocol}`);
  });
  await check('the event is what was published', async () => {
    if (answer.event?.data?.text !== 'grüße 😀') throw new Error(JSON.stringify(answer.event));
  });
  await check('the socket is closed in order', async () => {
    if (answer.code !== 1000 || !answer.clean) throw new Error(`code ${answer.code}, clean ${answer.clean}`);
  });
  await check('a wrong key is refused', async () => {
    const opened = await page.evaluate(
      (address) =>
        new Promise((resolve) => {
          const socket = new WebSocket(address, ['hydrogen-protocol', 'key.wrong']);
          socket.onopen = () => resolve(true);
          socket.onerror = () => resolve(false);
        }),
      url.replace(/^http/, 'ws') + '/',
    );
    if (opened) throw new Error('it opened');
    // The browser's own line about the refusal is no complaint of the page's.
    const own = complaints.filter((text) => !text.includes('WebSocket connection to'));
    if (own.length) throw new Error(`the page complains: ${own.join('; ')}`);
  });
  await check('nothing is loaded from elsewhere', async () => {
    if (elsewhere.length) throw new Error(elsewhere.join(' '));
  });
  await check('it fits a narrow screen', async () => {
    await page.setViewportSize({ width: 390, height: 800 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 1) throw new Error(`${over} pixels too wide`);
    await page.setViewportSize({ width: 1280, height: 900 });
  });
  await page.screenshot({ path: screenshot, fullPage: true });
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
