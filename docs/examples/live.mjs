// Listens as a user's device: prints what comes, acknowledges it, and comes back when the connection ends.
//
//   node --experimental-websocket docs/examples/live.mjs http://127.0.0.1:7700/acme/chat bob secret phone
//
// Node.js 22 and browsers have WebSocket without the flag.

const [base, username, password, device = "web"] = process.argv.slice(2);
if (!password) {
  console.error("usage: live.mjs BASE_URL USER PASSWORD [DEVICE]");
  process.exit(2);
}

async function logIn() {
  const response = await fetch(`${base}/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ grant_type: "password", username, password }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error_description);
  return answer.access_token;
}

function show(frame) {
  const place = frame.chat_type === "chat" ? "" : ` in ${frame.chat_type} ${frame.conversation}`;
  console.log(`${frame.from}${place}: ${frame.body.msg ?? JSON.stringify(frame.body)}`);
}

function listen(token) {
  const url = base.replace(/^http/, "ws");
  const socket = new WebSocket(`${url}/live?device=${device}&access_token=${token}`);
  // A sign of life, well within the lease of a minute.
  const ping = setInterval(() => socket.send(JSON.stringify({ type: "ping" })), 20_000);
  return new Promise((resolve) => {
    let reason = "cut";
    socket.onopen = () => console.log(`listening as ${username} on ${device}`);
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "end") reason = frame.reason;
      if (frame.type !== "message") return;
      show(frame);
      // It is shown, so it need not come again.
      socket.send(JSON.stringify({ type: "ack" }));
    };
    socket.onclose = () => {
      clearInterval(ping);
      resolve(reason);
    };
    socket.onerror = () => {};
  });
}

for (;;) {
  const reason = await listen(await logIn());
  console.log(`the connection ended: ${reason}`);
  if (reason === "disconnected") break;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
}
